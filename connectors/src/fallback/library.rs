//! libhdf5, loaded while the program runs, and the few functions of it that are used.
//!
//! This is the only module with `unsafe` code in this crate. What each call relies on:
//!
//! - **The functions are what they are taken for.** Their names are from a library that says it is
//!   HDF5 1.10 or later ([`Library::load`] asks before anything else is called; the function that
//!   tells has had the same signature since 1.0). Since 1.10 an identifier is 64 bits wide; the
//!   signatures below are those of `H5public.h` and its like in 1.10, 1.12, 1.14 and 2.0, which do
//!   not differ in them. `hbool_t`, an `int` once and a `bool` now, is only given as zero, in a
//!   register, which is the same in both.
//! - **They outlive their use.** The library is never unloaded: it is forgotten, on purpose, and the
//!   process ends without it being closed.
//! - **One thread.** `Library` is neither `Send` nor `Sync`, so all calls come from the thread that
//!   loaded it, as a library without its own locks asks for.
//! - **Memory.** Text goes in as [`CStr`], which ends with a NUL and lives through the call. The file
//!   image goes in with its own length and is copied by the library (`H5Pset_file_image`). The one
//!   place where the library writes to our memory is [`Library::read`], which has compared the
//!   number of elements and the size of an element with the length of the buffer, asks for the type
//!   that the dataset has in the file (nothing is converted), and selects all.
//! - **Identifiers.** A negative one is an error and is not used; each that was given is closed once,
//!   by [`Handle`].
//!
//! What a plugin does with the bytes of a hostile chunk is beyond any such proof: that is why this
//! runs in a process with nothing to lose.
#![expect(unsafe_code, reason = "a C library that is loaded while the program runs")]

use libloading::os::unix::{Library as Shared, RTLD_GLOBAL, RTLD_NOW};
use std::cell::Cell;
use std::error::Error;
use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_uint, c_void};
use std::marker::PhantomData;
use tarn_formats::fallback::{DATASET, GUARD};

/// `hid_t`
type Id = i64;
/// `herr_t`, `htri_t`: negative where something failed.
type Status = c_int;

/// `H5E_DEFAULT`, `H5P_DEFAULT`, `H5S_ALL`, `H5F_ACC_RDONLY`
const DEFAULT: Id = 0;
const READ_ONLY: c_uint = 0;
/// `H5E_WALK_UPWARD`: the innermost message first.
const UPWARD: c_int = 0;
/// By how much the file in memory would grow, if it did.
const INCREMENT: usize = 64 << 10;
/// Messages of the library that are kept.
const MESSAGES: usize = 3;

/// Names of the library, newest first: of Debian's and Ubuntu's packages, then of others.
const NAMES: [&str; 8] = [
    "libhdf5_serial.so.310",
    "libhdf5_serial.so.103",
    "libhdf5.so.320",
    "libhdf5.so.310",
    "libhdf5.so.200",
    "libhdf5.so.103",
    "libhdf5_serial.so",
    "libhdf5.so",
];

/// `H5E_error2_t`
#[repr(C)]
struct Message {
    class: Id,
    major: Id,
    minor: Id,
    line: c_uint,
    function: *const c_char,
    file: *const c_char,
    description: *const c_char,
}

type Visit = extern "C" fn(c_uint, *const Message, *mut c_void) -> Status;

/// `H5Z_class2_t`
#[repr(C)]
struct Filter {
    version: c_int,
    id: c_int,
    encodes: c_uint,
    decodes: c_uint,
    name: *const c_char,
    can_apply: *const c_void,
    set_local: *const c_void,
    filter: Work,
}

type Work =
    extern "C" fn(c_uint, usize, *const c_uint, usize, *mut usize, *mut *mut c_void) -> usize;

/// The functions, under their own names.
#[expect(non_snake_case, reason = "these are the library's names")]
struct Functions {
    H5open: unsafe extern "C" fn() -> Status,
    H5Eset_auto2: unsafe extern "C" fn(Id, *const c_void, *mut c_void) -> Status,
    H5Ewalk2: unsafe extern "C" fn(Id, c_int, Visit, *mut c_void) -> Status,
    H5Pcreate: unsafe extern "C" fn(Id) -> Id,
    H5Pset_fapl_core: unsafe extern "C" fn(Id, usize, c_uint) -> Status,
    H5Pset_file_image: unsafe extern "C" fn(Id, *mut c_void, usize) -> Status,
    H5Fopen: unsafe extern "C" fn(*const c_char, c_uint, Id) -> Id,
    H5Dopen2: unsafe extern "C" fn(Id, *const c_char, Id) -> Id,
    H5Dget_type: unsafe extern "C" fn(Id) -> Id,
    H5Tget_size: unsafe extern "C" fn(Id) -> usize,
    H5Dget_space: unsafe extern "C" fn(Id) -> Id,
    H5Sget_simple_extent_npoints: unsafe extern "C" fn(Id) -> i64,
    H5Dread: unsafe extern "C" fn(Id, Id, Id, Id, Id, *mut c_void) -> Status,
    H5Zfilter_avail: unsafe extern "C" fn(c_int) -> Status,
    H5Zregister: unsafe extern "C" fn(*const Filter) -> Status,
    H5Idec_ref: unsafe extern "C" fn(Id) -> c_int,
    /// The class of property lists for opening files: a variable that `H5open` sets.
    H5P_CLS_FILE_ACCESS_ID_g: *const Id,
}

/// The loaded library.
pub(super) struct Library {
    functions: Functions,
    version: [c_uint; 3],
    /// Files that were read: each is opened under a name of its own, because the library takes two of
    /// one name for the same file.
    files: Cell<u64>,
    /// Neither `Send` nor `Sync`.
    one_thread: PhantomData<*const ()>,
}

/// Something of the library's that is closed at the end.
struct Handle<'a> {
    library: &'a Library,
    id: Id,
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        // SAFETY: the identifier was given by the library, is not negative and is closed here only.
        unsafe { (self.library.functions.H5Idec_ref)(self.id) };
    }
}

impl Library {
    /// Loads the library of this name, or the first of [`NAMES`] that is there.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(super) fn load(named: Option<&OsStr>) -> Result<Self, String> {
        let open = |name: &OsStr| {
            // SAFETY: loading runs the library's own initialisers. Its plugins look for its functions
            // among all that are loaded, hence GLOBAL.
            unsafe { Shared::open(Some(name), RTLD_NOW | RTLD_GLOBAL) }
        };
        let shared = match named {
            Some(name) => open(name).map_err(|error| said(&error))?,
            None => NAMES
                .iter()
                .find_map(|name| open(OsStr::new(name)).ok())
                .ok_or_else(|| format!("there is none of {}", NAMES.join(", ")))?,
        };
        // It stays to the end of the process.
        let shared: &'static Shared = Box::leak(Box::new(shared));
        let version = version(shared)?;
        if version < [1, 10, 0] {
            let [major, minor, _] = version;
            return Err(format!("it is HDF5 {major}.{minor}, which is older than 1.10"));
        }
        let missing = |error: libloading::Error| said(&error);
        /// The functions by the names of their fields.
        macro_rules! symbols {
            ($($name:ident),*) => {
                Functions {
                    // SAFETY: of type and lifetime, see above: HDF5 1.10 or later, never unloaded.
                    $($name: unsafe { *shared.get(concat!(stringify!($name), "\0").as_bytes()).map_err(missing)? },)*
                }
            };
        }
        let functions = symbols!(
            H5open,
            H5Eset_auto2,
            H5Ewalk2,
            H5Pcreate,
            H5Pset_fapl_core,
            H5Pset_file_image,
            H5Fopen,
            H5Dopen2,
            H5Dget_type,
            H5Tget_size,
            H5Dget_space,
            H5Sget_simple_extent_npoints,
            H5Dread,
            H5Zfilter_avail,
            H5Zregister,
            H5Idec_ref,
            H5P_CLS_FILE_ACCESS_ID_g
        );
        let library = Self { functions, version, files: Cell::new(0), one_thread: PhantomData };
        // SAFETY: without arguments; and no function that prints messages, which takes no data.
        let status = unsafe {
            (library.functions.H5open)().min((library.functions.H5Eset_auto2)(
                DEFAULT,
                std::ptr::null(),
                std::ptr::null_mut(),
            ))
        };
        let guard = Filter {
            version: 1,
            id: GUARD.into(),
            encodes: 0,
            decodes: 1,
            name: c"tarn's guard".as_ptr(),
            can_apply: std::ptr::null(),
            set_local: std::ptr::null(),
            filter: guard,
        };
        // SAFETY: a class as the library wants it, which it copies; its name is a constant.
        if status < 0 || unsafe { (library.functions.H5Zregister)(&raw const guard) } < 0 {
            return Err("it does not start".to_owned());
        }
        Ok(library)
    }

    /// Its version, as text.
    pub(super) fn version(&self) -> String {
        self.version.map(|part| part.to_string()).join(".")
    }

    /// Whether it has a filter, which loads the plugin.
    pub(super) fn has(&self, filter: u16) -> bool {
        // The guard is no filter of a file's.
        // SAFETY: a number.
        filter != GUARD && unsafe { (self.functions.H5Zfilter_avail)(c_int::from(filter)) > 0 }
    }

    /// All values of the dataset [`DATASET`] of a file, in the file's own type, which have exactly
    /// `size` bytes.
    ///
    /// # Errors
    /// In words, the library's where it has any.
    pub(super) fn read(&self, image: &mut [u8], size: usize) -> Result<Vec<u8>, String> {
        let functions = &self.functions;
        // SAFETY: the class is a variable of the library, set by `H5open`.
        let access =
            self.handle(unsafe { (functions.H5Pcreate)(*functions.H5P_CLS_FILE_ACCESS_ID_g) })?;
        // SAFETY: an open property list; 0: nothing is written back.
        self.done(unsafe { (functions.H5Pset_fapl_core)(access.id, INCREMENT, 0) })?;
        // SAFETY: so many bytes of ours, which the library copies.
        self.done(unsafe {
            (functions.H5Pset_file_image)(access.id, image.as_mut_ptr().cast(), image.len())
        })?;
        let number = self.files.get();
        self.files.set(number.wrapping_add(1));
        let name = text(&format!("tarn chunk {number}"))?;
        // SAFETY: a name and an open property list.
        let file =
            self.handle(unsafe { (functions.H5Fopen)(name.as_ptr(), READ_ONLY, access.id) })?;
        let path = text(DATASET)?;
        // SAFETY: an open file and a path.
        let dataset =
            self.handle(unsafe { (functions.H5Dopen2)(file.id, path.as_ptr(), DEFAULT) })?;
        // SAFETY: an open dataset.
        let (datatype, space) = unsafe {
            (
                self.handle((functions.H5Dget_type)(dataset.id))?,
                self.handle((functions.H5Dget_space)(dataset.id))?,
            )
        };
        // SAFETY: an open type and an open space.
        let (element, count) = unsafe {
            (
                (functions.H5Tget_size)(datatype.id),
                (functions.H5Sget_simple_extent_npoints)(space.id),
            )
        };
        let bytes = usize::try_from(count).ok().and_then(|count| count.checked_mul(element));
        if element != 1 || bytes != Some(size) {
            return Err(format!("{count} elements of {element} bytes in place of {size} bytes"));
        }
        let mut values = vec![0; size];
        // SAFETY: the buffer has `count * element` bytes, which is what is written: all elements, in
        // the type that they have in the file.
        let status = unsafe {
            (functions.H5Dread)(
                dataset.id,
                datatype.id,
                DEFAULT,
                DEFAULT,
                DEFAULT,
                values.as_mut_ptr().cast(),
            )
        };
        self.done(status)?;
        Ok(values)
    }

    fn handle(&self, id: Id) -> Result<Handle<'_>, String> {
        if id < 0 { Err(self.problem()) } else { Ok(Handle { library: self, id }) }
    }

    fn done(&self, status: Status) -> Result<(), String> {
        if status < 0 { Err(self.problem()) } else { Ok(()) }
    }

    /// What went wrong in the last call, the innermost first.
    fn problem(&self) -> String {
        let mut messages: Vec<String> = vec![];
        let data = std::ptr::from_mut(&mut messages).cast();
        // SAFETY: `visit` is called before this returns, with a pointer to our list.
        unsafe { (self.functions.H5Ewalk2)(DEFAULT, UPWARD, visit, data) };
        if messages.is_empty() { "it does not say why".to_owned() } else { messages.join("; ") }
    }
}

/// The version that a library says it is.
fn version(shared: &Shared) -> Result<[c_uint; 3], String> {
    type Version = unsafe extern "C" fn(*mut c_uint, *mut c_uint, *mut c_uint) -> Status;
    let [mut major, mut minor, mut release] = [0; 3];
    // SAFETY: three places for three numbers, as in all versions of the library.
    let status = unsafe {
        let get: Version = *shared.get(b"H5get_libversion\0").map_err(|error| said(&error))?;
        get(&raw mut major, &raw mut minor, &raw mut release)
    };
    if status < 0 { Err("it has no version".to_owned()) } else { Ok([major, minor, release]) }
}

fn text(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|error| error.to_string())
}

/// What a loader said, with what the system said to it.
fn said(error: &libloading::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

/// Lets through what has the size that its parameters say, and nothing else. The last filter that is
/// undone.
extern "C" fn guard(
    _: c_uint,
    count: usize,
    parameters: *const c_uint,
    bytes: usize,
    _: *mut usize,
    _: *mut *mut c_void,
) -> usize {
    if count != 2 || parameters.is_null() {
        return 0;
    }
    // SAFETY: the library gives `count` parameters that live through this call.
    let [low, high] = unsafe { *parameters.cast::<[c_uint; 2]>() };
    let size = u64::from(low) | (u64::from(high) << 32);
    if usize::try_from(size) == Ok(bytes) { bytes } else { 0 }
}

/// Notes a message.
extern "C" fn visit(_: c_uint, message: *const Message, data: *mut c_void) -> Status {
    // SAFETY: the library gives a message that lives through this call, and `data` is the list that
    // `problem` passed, which nobody else uses meanwhile.
    let (description, messages) = unsafe {
        let description = (*message).description;
        if description.is_null() {
            return 0;
        }
        (CStr::from_ptr(description), &mut *data.cast::<Vec<String>>())
    };
    if messages.len() < MESSAGES {
        messages.push(description.to_string_lossy().into_owned());
    }
    0
}
