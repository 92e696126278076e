"""The child process: one trial, from its run folder and back into it.

`python -m harness.worker RUN_FOLDER` trains one trial in the foreground (what `command.sh` runs);
`python -m harness.worker.nursery` imports the training stack once and forks a worker per trial.
Importing this package imports neither.
"""
