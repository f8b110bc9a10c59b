//! Q00xx: files, the machine, interruption.

codes! {
    IO = "Q0001", "a file or folder cannot be read or written",
        "The operating system refused the operation, or the file is not what was expected there. The message names \
         the path and the reason. Paths in a configuration are relative to the configuration's folder, entries of a \
         list file to the list's folder, paths on the command line to the working directory.";
    INTERRUPTED = "Q0002", "interrupted",
        "The run was stopped by Ctrl-C, SIGTERM or SIGHUP. Nothing is half-written: finished files are whole, and an interrupted \
         calibration goes on from its last checkpoint when the same command is given again. The exit code is 130.";
    USAGE = "Q0003", "the command line is wrong",
        "An argument is missing, unknown or cannot be combined with another. `quantize --help` and \
         `quantize COMMAND --help` list what there is. The exit code is 2.";
    INTERNAL = "Q0004", "an invariant of quantize itself does not hold",
        "This is a mistake in quantize, not in your input. Please report it with the message and, if you can, the \
         model; running again with `-vv` shows the step before it.";
    NO_DEVICE = "Q0005", "the device or instruction set is not there",
        "The configuration asks for a device, an instruction set or a kernel that this machine or this build does \
         not have. `quantize doctor` lists what there is. `target: auto` and `cpu.isa: auto` always work.";
    NO_MEMORY = "Q0006", "not enough memory",
        "The arena of an engine (its activations, for the largest batch) or another buffer does not fit into memory. \
         A smaller batch (`calibration.batch`, `evaluation.batch`, the batch in `model.inputs`) makes it smaller.";
    BUSY = "Q0007", "another run is writing to the output folder",
        "Two runs that write to one folder at once would mix their files. A run holds its `output.dir` until it ends; \
         the system lets go of it even where the run was killed. Set another `output.dir` or `name`, or wait.";
    PIN = "Q0008", "threads cannot be put on these CPUs",
        "`cpu.pin` or `--pin` names a CPU that the machine does not have or that this process may not use (a \
         container's or a batch system's limit), or the system does not pin threads at all. `none` always works: the \
         system then places the threads among the CPUs that the process may use.";
    CUDA = "Q0009", "the GPU or its driver refused",
        "A call of the NVIDIA driver failed, or a kernel does not compile. The message names what was tried and what the \
         driver answered. A kernel that fails while an engine runs is named where steps run one by one \
         (`quantize bench --profile`). `quantize doctor` says what was found of driver and GPUs. `target: cpu` works without either.";
    NO_COMPILER = "Q0010", "NVRTC is missing, which building for a GPU needs",
        "Kernels for the GPU are compiled when an engine is built, by NVIDIA's NVRTC library, which comes with the CUDA \
         toolkit, as the Python package nvidia-cuda-nvrtc, and as the apt packages cuda-nvrtc-12-x of NVIDIA's repository. \
         The message lists every place that was looked at; QUANTIZE_NVRTC may name the library. Running a finished \
         engine needs the driver only.";
}
