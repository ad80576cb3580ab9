"""What the add-on and the backend exchange: types, options, messages and their encoding. numpy, msgpack, stdlib."""
