"""Images in, faces and vectors out: decode → detect → choose → align → embed, one file each."""
