"""How large a thing from outside may be, each with its reason. It is judged by what it declares before memory is spent on it.

A compressed megabyte can become gigabytes, and a header of eighty bytes can ask for terabytes; a function that runs out of memory
is killed, and the model in use with it. Every limit is several times what the largest honest file needs.
"""

from __future__ import annotations

from typing import Final

_KIB: Final = 1024
_MIB: Final = 1024 * _KIB

# Events. EventBridge takes 256 KiB a request, of which the envelope has some. Larger ones are never sent and never read.
MAX_EVENT_BYTES: Final = 240_000

# Bundles. The starter has 12 files of 0.9 MiB together. A function that loads one has 1769 MB: archive, files and sessions.
MAX_BUNDLE_FILES: Final = 64
MAX_BUNDLE_BYTES: Final = 128 * _MIB  # unpacked, all files together
MAX_MANIFEST_BYTES: Final = _MIB  # 300 bytes a file and 200 a source: a thousand of each
MAX_REPORT_BYTES: Final = 16 * _MIB  # the starter's has 41 kB; a fold adds some
MAX_POINTER_BYTES: Final = 64 * _KIB  # three short texts

# Graphs.
MAX_GRAPH_BYTES: Final = 64 * _MIB  # 16 million float32 weights
MAX_GRAPH_NODES: Final = 20_000  # a transformer layer has 60
MAX_GRAPH_DEPTH: Final = 8  # of messages in messages: model, graph, node, attribute, tensor
# Protobuf fields of a graph in all its messages: a node of a tree has 10. The largest of training/configs/full.toml (600 trees of
# 31 nodes) have 190,000, those of the starter 33,000. A million takes 2 s to judge.
MAX_GRAPH_FIELDS: Final = 1_000_000
MAX_BUNDLE_FIELDS: Final = 4_000_000  # of all graphs of a bundle together: 8 s; full.toml has eleven members
MAX_BUNDLE_NODES: Final = 80_000  # likewise
MAX_GRAPH_TENSOR_BYTES: Final = 256 * _MIB  # while it computes: golden rows of 240 bars need 60 MiB of attention

# Arrays beside a bundle's graphs.
MAX_ARRAY_FILES: Final = 8  # in one npz
MAX_ARRAY_BYTES: Final = 32 * _MIB  # unpacked: 1,000 golden rows of 60 bars and 50 features are 24 MiB
MAX_ZIP_DIRECTORY_BYTES: Final = 64 * _KIB  # 64 names of 100 characters take 19 kB

# Features. The state of one symbol's stream holds its windows: v50 has 60 kB.
MAX_STREAM_STATE_BYTES: Final = 16 * _MIB

# Candles. A day of a lake has at most 1,440 rows of five texts: 33 kB packed, 150 kB unpacked.
MAX_DAY_ROWS: Final = 1440
MAX_DAY_FILE_BYTES: Final = 2 * _MIB
MAX_LAKE_FILE_BYTES: Final = 64 * _MIB  # what is read at all: a bad day is set aside whole
MAX_DAY_UNPACKED_BYTES: Final = 4 * _MIB
MAX_DAY_FOOTER_BYTES: Final = 64 * _KIB
# A recorded file has one symbol's minutes, 48 bytes each: 20 years are 10.5 million rows.
MAX_RECORDED_ROWS: Final = 12_000_000
MAX_RECORDED_UNPACKED_BYTES: Final = 1024 * _MIB
MAX_RECORDED_FOOTER_BYTES: Final = 8 * _MIB
MAX_PAGES: Final = 200_000  # of a Parquet file; writers make pages of a megabyte or 20,000 rows
