"""Pictures and streams: masks, mosaic, JPEG, encoder, H.264 and H.265 units."""
