"""The local cloud: PostgreSQL, the AWS emulator, the deployed stage `local`, its clock. Start at `local_cloud.py`."""
