"""The model as a C array, in the three forms of TensorFlow's micro_speech example.

| convention | array | length | layout |
|---|---|---|---|
| 2019 | `g_NETWORK_micro_features_model_data` | `const int …_len` | `xxd -i`, hand-edited |
| 2020 | `g_model` | `const int g_model_len` | the same, aligned to 4 bytes |
| current | `g_NETWORK_micro_features_model_data` | `constexpr unsigned int …_size` | \
`generate_cc_arrays.py`, aligned to 16 bytes |
"""

from collections.abc import Callable

from firmware_export.errors import BadModel

EXPERIMENTAL = "tensorflow/lite/experimental/micro/examples/micro_speech/micro_features"
MICRO = "tensorflow/lite/micro/examples/micro_speech/micro_features"
ALIGNED = " __attribute__((aligned(4)))"


def stem(network: str) -> str:
    """The file name of header and source without their endings."""
    return f"{network}_micro_features_model_data"


def render(model: bytes, convention: str = "2019", network: str = "tiny_conv") -> tuple[str, str]:
    """(header, source) as text, named after `network`, which consists of letters, digits and _.

    Raises BadModel for an unknown convention.
    """
    if convention not in CONVENTIONS:
        known = ", ".join(CONVENTIONS)
        raise BadModel(f"C array convention {convention!r} is unknown: expected one of {known}")
    return CONVENTIONS[convention](model, stem(network))


def _xxd(model: bytes) -> str:
    """The output of `xxd -i` between the braces: twelve bytes a line, no comma after the last."""
    rows = (model[start : start + 12] for start in range(0, len(model), 12))
    return ",\n".join("  " + ", ".join(f"0x{byte:02x}" for byte in row) for row in rows)


def _with_guard(model: bytes, path: str, name: str, attribute: str = "") -> tuple[str, str]:
    guard = path.upper().replace("/", "_").replace(".", "_") + "_"
    header = (
        f"#ifndef {guard}\n#define {guard}\n\n"
        f"extern const unsigned char {name}[];\nextern const int {name}_len;\n"
        f"\n#endif  // {guard}\n"
    )
    source = (
        f'#include "{path}"\n\n'
        f"const unsigned char {name}[]{attribute} = {{\n{_xxd(model)}\n}};\n"
        f"const int {name}_len = {len(model)};\n"
    )
    return header, source


def _generated(model: bytes, stem: str) -> tuple[str, str]:
    name = f"g_{stem}"
    header = (
        "#include <cstdint>\n\n"
        f"constexpr unsigned int {name}_size = {len(model)};\n"
        f"extern const unsigned char {name}[];\n"
    )
    values = "".join(f"0x{byte:02x}," for byte in model)
    source = (
        f'#include <cstdint>\n\n#include "{stem}.h"\n\n'
        f"alignas(16) const unsigned char {name}[] = {{{values}}};\n"
    )
    return header, source


CONVENTIONS: dict[str, Callable[[bytes, str], tuple[str, str]]] = {
    "2019": lambda model, stem: _with_guard(model, f"{EXPERIMENTAL}/{stem}.h", f"g_{stem}"),
    "2020": lambda model, _: _with_guard(model, f"{MICRO}/model.h", "g_model", ALIGNED),
    "current": _generated,
}
