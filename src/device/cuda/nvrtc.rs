//! NVRTC, NVIDIA's compiler as a library: found and opened when the first kernel is to be compiled. Running a finished
//! engine needs none.

use crate::base::codes::machine;
use crate::base::{Diagnostic, Result};
use libloading::Library;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::OnceLock;

type Program = *mut c_void;

/// The compiler, opened.
pub struct Nvrtc {
    /// Where it was found, or the name by which the system's loader knew it.
    pub path: String,
    /// Major and minor.
    pub version: (i32, i32),
    create: unsafe extern "C" fn(
        *mut Program,
        *const c_char,
        *const c_char,
        c_int,
        *const (),
        *const (),
    ) -> c_int,
    compile: unsafe extern "C" fn(Program, c_int, *const *const c_char) -> c_int,
    log_size: unsafe extern "C" fn(Program, *mut usize) -> c_int,
    log: unsafe extern "C" fn(Program, *mut c_char) -> c_int,
    cubin_size: unsafe extern "C" fn(Program, *mut usize) -> c_int,
    cubin: unsafe extern "C" fn(Program, *mut c_char) -> c_int,
    destroy: unsafe extern "C" fn(*mut Program) -> c_int,
    _library: Library,
}

/// The compiler of this process.
///
/// # Errors
/// `NO_COMPILER`, with every place that was looked at.
pub fn open() -> Result<&'static Nvrtc> {
    static FOUND: OnceLock<std::result::Result<Nvrtc, Vec<String>>> = OnceLock::new();
    FOUND.get_or_init(find).as_ref().map_err(|tried| {
        let e = Diagnostic::new(machine::NO_COMPILER, "NVRTC, which compiles the GPU's kernels, was not found")
            .help(
                "pip install nvidia-cuda-nvrtc, or apt install libnvrtc12 (from NVIDIA's repository: cuda-nvrtc-12-x), \
                 or set QUANTIZE_NVRTC to the path of libnvrtc.so",
            );
        tried.iter().fold(e, |e, t| e.detail(t.clone()))
    })
}

fn find() -> std::result::Result<Nvrtc, Vec<String>> {
    let mut tried = Vec::new();
    for path in places() {
        match load(&path) {
            Ok(found) => return Ok(found),
            Err(why) => tried.push(why),
        }
    }
    Err(tried)
}

/// Where it may be, the most deliberate first. A path opens that file, whose builtins lie beside it; a bare name asks the
/// system's loader.
fn places() -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> =
        std::env::var_os("QUANTIZE_NVRTC").map(PathBuf::from).into_iter().collect();
    let mut folders: Vec<PathBuf> = Vec::new();
    folders.extend(std::env::current_exe().ok().and_then(|p| p.parent().map(Path::to_path_buf)));
    folders.extend(python_folders());
    folders.extend(std::env::var_os("CUDA_HOME").map(|home| Path::new(&home).join("lib64")));
    folders.push("/usr/local/cuda/lib64".into());
    let libraries = folders.iter().flat_map(|folder| {
        let mut found: Vec<PathBuf> = entries(folder).into_iter().filter(|p| is_nvrtc(p)).collect();
        found.sort();
        found.into_iter().rev()
    });
    places.extend(libraries);
    places.extend(["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"].map(PathBuf::from));
    places
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect()
}

fn is_nvrtc(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    name.starts_with("libnvrtc.so.") || name == "libnvrtc.so"
}

/// `site-packages/nvidia/*/lib` of the active virtual environment and of the system's Python.
fn python_folders() -> Vec<PathBuf> {
    let roots = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from).into_iter();
    let roots = roots.chain(["/usr/local", "/usr"].map(PathBuf::from));
    let pythons = roots.flat_map(|root| entries(&root.join("lib")));
    pythons
        .filter(|p| p.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with("python3")))
        .flat_map(|python| ["site-packages", "dist-packages"].map(|s| python.join(s).join("nvidia")))
        .flat_map(|nvidia| entries(&nvidia))
        .map(|package| package.join("lib"))
        .collect()
}

fn load(path: &Path) -> std::result::Result<Nvrtc, String> {
    let shown = path.display();
    // SAFETY: NVIDIA's library runs nothing of note when it is opened.
    let library = unsafe { Library::new(path) }.map_err(|e| format!("{shown}: {e}"))?;
    macro_rules! symbol {
        ($name:literal) => {
            // SAFETY: the types above are those of nvrtc.h, the same in all versions since 11.
            *unsafe { library.get($name) }.map_err(|e| format!("{shown}: {e}"))?
        };
    }
    let version: unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int = symbol!(b"nvrtcVersion");
    let (mut major, mut minor) = (0, 0);
    // SAFETY: two places for two numbers.
    unsafe { version(&mut major, &mut minor) };
    Ok(Nvrtc {
        path: shown.to_string(),
        version: (major, minor),
        create: symbol!(b"nvrtcCreateProgram"),
        compile: symbol!(b"nvrtcCompileProgram"),
        log_size: symbol!(b"nvrtcGetProgramLogSize"),
        log: symbol!(b"nvrtcGetProgramLog"),
        cubin_size: symbol!(b"nvrtcGetCUBINSize"),
        cubin: symbol!(b"nvrtcGetCUBIN"),
        destroy: symbol!(b"nvrtcDestroyProgram"),
        _library: library,
    })
}

impl Nvrtc {
    /// Machine code of a source text.
    ///
    /// # Errors
    /// The compiler's log.
    pub fn compile(&self, source: &str, options: &[String]) -> std::result::Result<Vec<u8>, String> {
        let text = CString::new(source).map_err(|_| "the source has a zero byte")?;
        let options = options.iter().map(|o| CString::new(o.as_str()));
        let options = options.collect::<std::result::Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
        let pointers: Vec<*const c_char> = options.iter().map(|o| o.as_ptr()).collect();
        let mut program = ptr::null_mut();
        // SAFETY: all pointers are to live, terminated strings; the program is destroyed below, whatever happens.
        let cubin = unsafe {
            let name = c"kernel.cu".as_ptr();
            if (self.create)(&mut program, text.as_ptr(), name, 0, ptr::null(), ptr::null()) != 0 {
                return Err("the compiler does not start".into());
            }
            let failed = (self.compile)(program, pointers.len() as c_int, pointers.as_ptr()) != 0;
            let found = match failed {
                true => Err(self.text_of(program)),
                false => Ok(self.code_of(program)),
            };
            (self.destroy)(&mut program);
            found
        }?;
        if cubin.is_empty() { Err("the compiler wrote no code".into()) } else { Ok(cubin) }
    }

    /// # Safety
    /// `program` is alive.
    unsafe fn text_of(&self, program: Program) -> String {
        let mut size = 0;
        // SAFETY: the caller's promise; the log is `size` bytes with its terminator.
        unsafe { (self.log_size)(program, &mut size) };
        let mut log = vec![0u8; size + 1];
        // SAFETY: as above.
        unsafe { (self.log)(program, log.as_mut_ptr().cast()) };
        CStr::from_bytes_until_nul(&log).map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// # Safety
    /// `program` is alive and compiled.
    unsafe fn code_of(&self, program: Program) -> Vec<u8> {
        let mut size = 0;
        // SAFETY: the caller's promise.
        unsafe { (self.cubin_size)(program, &mut size) };
        let mut cubin = vec![0u8; size];
        // SAFETY: `size` bytes are there.
        unsafe { (self.cubin)(program, cubin.as_mut_ptr().cast()) };
        cubin
    }
}
