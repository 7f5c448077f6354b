"""What browsers and applications call: photos in, twins out."""
