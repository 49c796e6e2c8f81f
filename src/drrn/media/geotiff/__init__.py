"""GeoTIFF rasters, by rasterio."""
