"""The part of Lambda's context that Powertools reads."""

from __future__ import annotations


class FakeLambdaContext:
    function_name = "tests"
    memory_limit_in_mb = 128
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:tests"
    aws_request_id = "00000000-0000-0000-0000-000000000000"
    log_stream_name = "tests"
    tenant_id = None

    def get_remaining_time_in_millis(self) -> int:
        return 30_000
