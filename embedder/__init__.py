"""Images in, faces and vectors out: decode → detect → choose → align → embed, one file each."""

import os

# ONNX Runtime otherwise gives the machine an id under the home folder and queues usage events for its maker. It reads
# this when it is loaded; its own function for switching them off comes too late to keep the files from being made.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
