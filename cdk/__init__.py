"""The CDK application: app.py composes, stage.py configures, stacks/ hold one concern each, constructs/ the reused shapes."""
