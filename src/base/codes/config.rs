//! Q01xx: the configuration.

codes! {
    UNKNOWN_KEY = "Q0101", "a key of the configuration is unknown",
        "Keys are checked strictly, so that a misspelt one cannot be ignored in silence. The message shows the line \
         and the nearest key that exists; `quantize schema` prints all of them.";
    WRONG_TYPE = "Q0102", "a value of the configuration has the wrong type",
        "A number stands where text was expected, a list where a number was, and so on. The message shows what was \
         found and what was expected. Text that looks like a number or like true/false needs quotes.";
    MISSING_KEY = "Q0103", "a key of the configuration is missing",
        "A key without which the command cannot work is not set. The message names it and the group that it \
         belongs to; `quantize schema` explains it.";
    UNKNOWN_VALUE = "Q0104", "a value of the configuration is none of its possible values",
        "The key takes one of a few names, which the message lists with the nearest one. Methods and metrics are \
         also printed by `quantize list`.";
    SYNTAX = "Q0105", "the configuration is not valid YAML",
        "The text breaks a rule of YAML: a tab as indentation, a missing colon or bracket, a key given twice, or \
         aliases that expand without end. The message shows the line at which reading stopped; the mistake may be \
         on the line before.";
    CONTRADICTION = "Q0106", "two parts of the configuration contradict each other",
        "Each key alone is valid, but together they ask for something impossible, or for something that needs \
         another key. The message names the keys.";
    PATH = "Q0107", "a path of the configuration leads nowhere",
        "The file or folder does not exist, or a variable `${NAME}` in the path is not set. Paths in a \
         configuration are relative to the folder of its file, paths on the command line (`--set` too) to the \
         working directory.";
    OUT_OF_RANGE = "Q0108", "a number of the configuration is out of range",
        "The number has the right type, but the key does not take this value. The message says which values are \
         possible.";
    NO_SUCH_NODE = "Q0109", "a rule of precision is about no node",
        "The pattern of a row of `precision.rules` matches no node of the model, so the row would do nothing. Names are \
         those of the ONNX file, or of the nodes that were made of several; `quantize inspect MODEL --nodes` prints \
         them. `*` stands for any text, so `conv1` is not found in `layer1.conv1`, and `*conv1` is.";
}
