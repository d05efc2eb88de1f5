"""Upper limits for data from outside, each with its reason. The declared size of data is checked before memory is allocated.

A compressed megabyte can become gigabytes, and a header of eighty bytes can ask for terabytes. A function that runs out of memory
is killed together with the model in use. Every limit is several times what the largest honest file needs.
"""

from __future__ import annotations

from typing import Final

_KIB: Final = 1024
_MIB: Final = 1024 * _KIB

# Events. An EventBridge request may have 256 KiB, of which the envelope takes some. Larger events are neither sent nor read.
MAX_EVENT_BYTES: Final = 240_000

# Bundles. The starter bundle has 12 files of 0.9 MiB in total. A function with 1769 MB holds the archive, files and sessions.
MAX_BUNDLE_FILES: Final = 64
MAX_BUNDLE_BYTES: Final = 128 * _MIB  # unpacked, all files together
MAX_MANIFEST_BYTES: Final = _MIB  # enough for a thousand files (300 bytes each) and a thousand sources (200 bytes each)
MAX_REPORT_BYTES: Final = 16 * _MIB  # the starter's report has 41 kB; each fold adds some

# Signed packages, which hold several versions of a model. The starter's has 1.1 MiB. A package is not compressed, so this
# limits what it unpacks to as well; it is verified in memory.
MAX_PACKAGE_BYTES: Final = 256 * _MIB
MAX_PACKAGE_VERSIONS: Final = 16
MAX_PACKAGE_FILES: Final = 512  # names of 90 characters: less than MAX_ZIP_DIRECTORY_BYTES for the starter's thirteen files each
MAX_PACKAGE_MANIFEST_BYTES: Final = _MIB

# Graphs.
MAX_GRAPH_BYTES: Final = 64 * _MIB  # 16 million float32 weights
MAX_GRAPH_NODES: Final = 20_000  # a transformer layer has 60
MAX_GRAPH_DEPTH: Final = 8  # nesting of protobuf messages: model, graph, node, attribute, tensor
# Protobuf fields of a graph with all its nested messages. A tree node has 10. The largest graph of training/configs/full.toml
# (600 trees of 31 nodes) has 190,000, the starter's 33,000. Checking a million takes 2 s.
MAX_GRAPH_FIELDS: Final = 1_000_000
MAX_BUNDLE_FIELDS: Final = 4_000_000  # of all graphs of a bundle together, 8 s to check; full.toml has eleven members
MAX_BUNDLE_NODES: Final = 80_000  # of all graphs of a bundle together
MAX_GRAPH_TENSOR_BYTES: Final = 256 * _MIB  # memory while computing; attention over golden rows of 240 bars needs 60 MiB
# The first run of a bundle's graphs, in a child process. The starter takes 0.06 s and 60 MiB. One core has as many seconds in a
# minute as the function that loads bundles may take, and judging the graphs may have taken eight of them.
MAX_TRIAL_CPU_SECONDS: Final = 20
MAX_TRIAL_SECONDS: Final = 30.0
MAX_TRIAL_BYTES: Final = 1024 * _MIB  # four copies of the largest bundle's weights (parsed, loaded), and the tensors
MAX_SCORING_SECONDS: Final = 10.0  # of one live decision; the starter takes 0.002 s for three symbols

# Arrays beside a bundle's graphs.
MAX_ARRAY_FILES: Final = 8  # in one npz
MAX_ARRAY_BYTES: Final = 32 * _MIB  # unpacked: 1,000 golden rows of 60 bars and 50 features are 24 MiB
MAX_ZIP_DIRECTORY_BYTES: Final = 64 * _KIB  # 64 names of 100 characters take 19 kB

# Features. The state of one symbol's stream holds its windows; for v50 that is 60 kB.
MAX_STREAM_STATE_BYTES: Final = 16 * _MIB

# Candles. One day in the lake has at most 1,440 rows of five texts: 33 kB compressed, 150 kB uncompressed.
MAX_DAY_ROWS: Final = 1440
MAX_DAY_FILE_BYTES: Final = 2 * _MIB
MAX_LAKE_FILE_BYTES: Final = 64 * _MIB  # larger files are not read at all; a bad day file is set aside whole
MAX_DAY_UNPACKED_BYTES: Final = 4 * _MIB
MAX_DAY_FOOTER_BYTES: Final = 64 * _KIB
# A recording holds one symbol's minutes at 48 bytes each: 20 years are 10.5 million rows.
MAX_RECORDED_ROWS: Final = 12_000_000
MAX_RECORDED_UNPACKED_BYTES: Final = 1024 * _MIB
MAX_RECORDED_FOOTER_BYTES: Final = 8 * _MIB
# List elements of a Parquet footer. A column of a row group has ten of them: enough for 3,000 row groups of six columns. Arrow
# makes up to a kilobyte of each.
MAX_FOOTER_ITEMS: Final = 200_000
MAX_PAGES: Final = 200_000  # of a Parquet file; writers make pages of a megabyte or of 20,000 rows

# Files of others that the workbench converts (signalbox data import). Twelve years of minutes as CSV are 600 MB.
MAX_IMPORT_FILES: Final = 20_000  # ten years of daily files of five symbols
MAX_IMPORT_ZIP_BYTES: Final = 512 * _MIB  # read as a whole
MAX_IMPORT_TEXT_BYTES: Final = 4096 * _MIB  # unpacked and streamed, so it costs time, not memory
MAX_IMPORT_LINE_BYTES: Final = 8 * _MIB  # of a block of lines; a longer line is refused

# Backups. A part has 16 MiB of text before it is compressed, and one row more; the manifest of a thousand parts has 200 kB.
MAX_DUMP_FILE_BYTES: Final = 512 * _MIB  # of a file of a dump, read as a whole; below a function's memory
