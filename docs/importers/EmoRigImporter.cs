// Makes Unity animation clips of EmoRig's Live Link Face CSV. Put this file in a folder called Editor.
// Select the object that carries the Animator, then: Assets > EmoRig > Import Live Link Face CSV…
using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using UnityEditor;
using UnityEngine;

public static class EmoRigImporter
{
    const float FullWeight = 100f;      // of a Unity blend shape
    const float TimecodeBase = 60f;     // the timecode's last field counts sixtieths, whatever the frame rate is

    [MenuItem("Assets/EmoRig/Import Live Link Face CSV…")]
    static void ImportFromMenu()
    {
        var root = Selection.activeGameObject;
        if (root == null) { Complain("Select the object that carries the Animator first."); return; }
        var file = EditorUtility.OpenFilePanel("Live Link Face CSV", "", "csv");
        if (string.IsNullOrEmpty(file)) return;
        try
        {
            var clip = Import(file, root);
            var path = AssetDatabase.GenerateUniqueAssetPath($"Assets/{Path.GetFileNameWithoutExtension(file)}.anim");
            AssetDatabase.CreateAsset(clip, path);
            EditorGUIUtility.PingObject(clip);
        }
        catch (Exception error) when (error is FormatException || error is IOException) { Complain(error.Message); }
    }

    // A clip that drives every blend shape below root that bears a column's name, and the head's rotation.
    public static AnimationClip Import(string file, GameObject root)
    {
        var lines = File.ReadAllLines(file).Where(line => line.Length > 0).ToArray();
        if (lines.Length < 2 || !lines[0].StartsWith("Timecode,", StringComparison.OrdinalIgnoreCase))
            throw new FormatException($"'{Path.GetFileName(file)}' is no Live Link Face CSV.");
        var header = lines[0].Split(',');
        var rows = lines.Skip(1).Select(line => line.Split(',')).ToArray();
        var bad = Array.FindIndex(rows, row => row.Length != header.Length);
        if (bad >= 0) throw new FormatException($"Row {bad + 2} has {rows[bad].Length} cells, the header {header.Length}.");
        var times = rows.Select(row => Seconds(row[0])).ToArray();
        var start = times[0];
        for (var i = 0; i < times.Length; i++) times[i] -= start;
        var clip = new AnimationClip { frameRate = Rate(times) };
        var columns = new Dictionary<string, int>(StringComparer.OrdinalIgnoreCase);
        for (var i = 2; i < header.Length; i++) columns[header[i]] = i;
        var driven = AddShapes(clip, root, columns, rows, times);
        if (driven == 0) throw new FormatException($"No blend shape below '{root.name}' bears an ARKit name.");
        AddHead(clip, root, columns, rows, times);
        Debug.Log($"EmoRig: {driven} blend shapes, {rows.Length} frames at {clip.frameRate:0.##} per second.");
        return clip;
    }

    static int AddShapes(AnimationClip clip, GameObject root, Dictionary<string, int> columns, string[][] rows, float[] times)
    {
        var driven = 0;
        foreach (var renderer in root.GetComponentsInChildren<SkinnedMeshRenderer>(true))
        {
            var where = AnimationUtility.CalculateTransformPath(renderer.transform, root.transform);
            for (var shape = 0; shape < renderer.sharedMesh.blendShapeCount; shape++)
            {
                var name = renderer.sharedMesh.GetBlendShapeName(shape);
                if (!columns.TryGetValue(PlainName(name), out var column)) continue;
                var values = rows.Select(row => Number(row[column]) * FullWeight).ToArray();
                AnimationUtility.SetEditorCurve(clip,
                    EditorCurveBinding.FloatCurve(where, typeof(SkinnedMeshRenderer), "blendShape." + name), Line(times, values));
                driven++;
            }
        }
        return driven;
    }

    static void AddHead(AnimationClip clip, GameObject root, Dictionary<string, int> columns, string[][] rows, float[] times)
    {
        var head = root.GetComponentsInChildren<Transform>(true)
            .FirstOrDefault(t => t.name.Equals("Head", StringComparison.OrdinalIgnoreCase) || t.name.EndsWith(":Head"));
        if (head == null || !columns.ContainsKey("HeadYaw")) return;
        var where = AnimationUtility.CalculateTransformPath(head, root.transform);
        var above = head.parent != null ? Quaternion.Inverse(root.transform.rotation) * head.parent.rotation : Quaternion.identity;
        var rest = head.localRotation;
        var components = new float[4][];
        for (var k = 0; k < 4; k++) components[k] = new float[rows.Length];
        for (var i = 0; i < rows.Length; i++)
        {
            float Degrees(string name) => Number(rows[i][columns[name]]) * Mathf.Rad2Deg;
            // Yaw, then pitch, then roll, from right-handed axes to Unity's left-handed ones: yaw and roll change sign.
            var turn = Quaternion.AngleAxis(-Degrees("HeadYaw"), Vector3.up)
                * Quaternion.AngleAxis(Degrees("HeadPitch"), Vector3.right)
                * Quaternion.AngleAxis(-Degrees("HeadRoll"), Vector3.forward);
            var local = Quaternion.Inverse(above) * turn * above * rest;
            for (var k = 0; k < 4; k++) components[k][i] = local[k];
        }
        for (var k = 0; k < 4; k++)
            AnimationUtility.SetEditorCurve(clip,
                EditorCurveBinding.FloatCurve(where, typeof(Transform), "m_LocalRotation." + "xyzw"[k]), Line(times, components[k]));
        clip.EnsureQuaternionContinuity();
    }

    static AnimationCurve Line(float[] times, float[] values)
    {
        var curve = new AnimationCurve(times.Select((time, i) => new Keyframe(time, values[i])).ToArray());
        for (var i = 0; i < times.Length; i++)
        {
            AnimationUtility.SetKeyLeftTangentMode(curve, i, AnimationUtility.TangentMode.Linear);
            AnimationUtility.SetKeyRightTangentMode(curve, i, AnimationUtility.TangentMode.Linear);
        }
        return curve;
    }

    // "Face_blendShape.eyeBlink_L" and "eyeBlinkLeft" are the same shape.
    static string PlainName(string name)
    {
        name = name.Substring(name.LastIndexOf('.') + 1);
        if (name.EndsWith("_L")) name = name.Substring(0, name.Length - 2) + "Left";
        if (name.EndsWith("_R")) name = name.Substring(0, name.Length - 2) + "Right";
        return name.Replace("_", "");
    }

    static float Seconds(string timecode)
    {
        var parts = timecode.Split(':');
        if (parts.Length != 4) throw new FormatException($"'{timecode}' is no timecode hh:mm:ss:ff.zzz.");
        return Number(parts[0]) * 3600f + Number(parts[1]) * 60f + Number(parts[2]) + Number(parts[3]) / TimecodeBase;
    }

    static float Rate(float[] times) => times.Length < 2 ? 60f : Mathf.Round((times.Length - 1) / times[times.Length - 1] * 1000f) / 1000f;

    static float Number(string text) => float.Parse(text, NumberStyles.Float, CultureInfo.InvariantCulture);

    static void Complain(string text) => EditorUtility.DisplayDialog("EmoRig", text, "OK");
}
