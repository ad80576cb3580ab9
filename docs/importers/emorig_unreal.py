"""Imports EmoRig's Live Link Face CSV files into Unreal as level sequences with a Live Link track.

In the editor, with the plug-ins "Live Link Face Importer" and "Python Editor Script Plugin" switched on:
    Tools > Execute Python Script … > this file            imports every CSV chosen in the dialog's folder below
or in the Python console:
    import emorig_unreal; emorig_unreal.import_csv("/path/Shot_1_Ann.csv", "/Game/Performances")
"""

import os
import sys

import unreal

SUFFIX = "_LLF"  # keeps the new asset from replacing one of the same name


def import_csv(path, folder="/Game/EmoRig"):
    """Imports one CSV into a content folder and gives the paths of the assets it made."""
    if not os.path.isfile(path):
        raise ValueError(f"There is no file '{path}'.")
    parts = os.path.splitext(os.path.basename(path))[0].split("_")
    if len(parts) < 3:
        raise ValueError(f"Unreal wants SLATE_TAKE_SUBJECT.csv, got '{os.path.basename(path)}'.")
    if not hasattr(unreal, "LiveLinkFaceImporterFactory"):
        raise RuntimeError("Switch on the plug-in 'Live Link Face Importer' and start the editor again.")
    task = unreal.AssetImportTask()
    task.filename = path
    task.destination_path = folder
    task.destination_name = "_".join(parts) + SUFFIX
    task.factory = unreal.LiveLinkFaceImporterFactory()
    task.automated = True
    task.replace_existing = True
    task.save = True
    unreal.AssetToolsHelpers.get_asset_tools().import_asset_tasks([task])
    made = list(task.imported_object_paths)
    if not made:
        raise RuntimeError(f"Unreal imported nothing from '{path}': see the output log.")
    return made


def import_folder(source, folder="/Game/EmoRig"):
    """Imports every CSV of a folder."""
    return [asset for name in sorted(os.listdir(source)) if name.lower().endswith(".csv")
            for asset in import_csv(os.path.join(source, name), folder)]


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        imported = import_folder(argument) if os.path.isdir(argument) else import_csv(argument)
        unreal.log("EmoRig: imported " + ", ".join(imported))
