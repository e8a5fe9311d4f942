"""`python -m device.rtsp`: started by doorbelld with a socket pair as standard input."""

from device.rtsp.process import main

main()
