"""From named curves to the shape keys and bones of a character: name matching, naming presets, F-curves."""
