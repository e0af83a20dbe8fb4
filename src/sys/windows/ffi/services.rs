//! The service control manager.

use super::checked;
use std::ffi::OsStr;
use std::io;
use std::os::windows::ffi::OsStrExt as _;
use std::ptr::{null, null_mut};
use windows_sys::Win32::System::Services::{
    ChangeServiceConfig2W, CloseServiceHandle, ControlService, CreateServiceW, DeleteService,
    OpenSCManagerW, OpenServiceW, QueryServiceStatus, RegisterServiceCtrlHandlerExW, SC_ACTION,
    SC_ACTION_RESTART, SC_HANDLE, SC_MANAGER_CONNECT, SC_MANAGER_CREATE_SERVICE,
    SERVICE_ALL_ACCESS, SERVICE_AUTO_START, SERVICE_CONFIG_DESCRIPTION,
    SERVICE_CONFIG_FAILURE_ACTIONS, SERVICE_CONFIG_FAILURE_ACTIONS_FLAG, SERVICE_CONTROL_STOP,
    SERVICE_DESCRIPTIONW, SERVICE_ERROR_NORMAL, SERVICE_FAILURE_ACTIONS_FLAG,
    SERVICE_FAILURE_ACTIONSW, SERVICE_QUERY_STATUS, SERVICE_START, SERVICE_STATUS,
    SERVICE_STATUS_HANDLE, SERVICE_STOP, SERVICE_TABLE_ENTRYW, SERVICE_WIN32_OWN_PROCESS,
    SetServiceStatus, StartServiceCtrlDispatcherW, StartServiceW,
};

/// A day, after which earlier failures do not count.
const FAILURES_COUNT_S: u32 = 86_400;

fn wide(text: &OsStr) -> Vec<u16> {
    text.encode_wide().chain([0]).collect()
}

/// A handle of the manager's.
struct Owned(SC_HANDLE);

impl Owned {
    fn new(handle: SC_HANDLE) -> io::Result<Self> {
        if handle.is_null() { Err(io::Error::last_os_error()) } else { Ok(Self(handle)) }
    }

    fn manager(access: u32) -> io::Result<Self> {
        // SAFETY: without names it is that of this machine; no pointer is passed.
        Self::new(unsafe { OpenSCManagerW(null(), null(), access) })
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: it is ours, and nobody has closed it.
        unsafe { CloseServiceHandle(self.0) };
    }
}

/// What a new service is.
pub struct Description<'a> {
    /// Its name.
    pub name: &'a str,
    /// What lists of services show.
    pub title: &'a str,
    /// What it does.
    pub description: &'a str,
    /// What is run.
    pub command: &'a OsStr,
    /// The account that runs it.
    pub account: &'a str,
}

/// A service that is installed.
pub struct Installed(Owned);

impl Installed {
    /// Installs one: it starts with the machine, and again after a failure.
    pub fn install(new: &Description<'_>) -> io::Result<Self> {
        let manager = Owned::manager(SC_MANAGER_CREATE_SERVICE)?;
        let [name, title, account] = [new.name, new.title, new.account].map(|s| wide(s.as_ref()));
        let command = wide(new.command);
        // SAFETY: all texts end with a zero and outlive the call; what is null is optional.
        let service = Owned::new(unsafe {
            CreateServiceW(
                manager.0,
                name.as_ptr(),
                title.as_ptr(),
                SERVICE_ALL_ACCESS,
                SERVICE_WIN32_OWN_PROCESS,
                SERVICE_AUTO_START,
                SERVICE_ERROR_NORMAL,
                command.as_ptr(),
                null(),
                null_mut(),
                null(),
                account.as_ptr(),
                null(),
            )
        })?;
        describe(&service, new.description);
        restart_after_failures(&service);
        Ok(Self(service))
    }

    /// Opens the one of this name, to start, stop and watch it.
    pub fn open(name: &str) -> io::Result<Self> {
        Self::open_to(name, SERVICE_START | SERVICE_STOP | SERVICE_QUERY_STATUS)
    }

    /// Opens it to do all with it.
    pub fn open_to_remove(name: &str) -> io::Result<Self> {
        Self::open_to(name, SERVICE_ALL_ACCESS)
    }

    fn open_to(name: &str, access: u32) -> io::Result<Self> {
        let manager = Owned::manager(SC_MANAGER_CONNECT)?;
        let name = wide(name.as_ref());
        // SAFETY: the name ends with a zero.
        Owned::new(unsafe { OpenServiceW(manager.0, name.as_ptr(), access) }).map(Self)
    }

    /// Asks the manager to start it.
    pub fn start(&self) -> io::Result<()> {
        // SAFETY: it is open, and no arguments are passed.
        checked(unsafe { StartServiceW(self.0.0, 0, null()) })
    }

    /// Asks it to stop.
    pub fn stop(&self) -> io::Result<()> {
        let mut status = SERVICE_STATUS::default();
        // SAFETY: it is open, and the call fills the structure.
        checked(unsafe { ControlService(self.0.0, SERVICE_CONTROL_STOP, &mut status) })
    }

    /// How it is now.
    pub fn status(&self) -> io::Result<SERVICE_STATUS> {
        let mut status = SERVICE_STATUS::default();
        // SAFETY: it is open, and the call fills the structure.
        checked(unsafe { QueryServiceStatus(self.0.0, &mut status) })?;
        Ok(status)
    }

    /// Removes it, when it has stopped.
    pub fn remove(&self) -> io::Result<()> {
        // SAFETY: it is open.
        checked(unsafe { DeleteService(self.0.0) })
    }
}

/// Best effort: it works without.
fn describe(service: &Owned, text: &str) {
    let mut text = wide(text.as_ref());
    let description = SERVICE_DESCRIPTIONW { lpDescription: text.as_mut_ptr() };
    let info = (&raw const description).cast();
    // SAFETY: the structure is the one of this level, and its text ends with a zero.
    unsafe { ChangeServiceConfig2W(service.0, SERVICE_CONFIG_DESCRIPTION, info) };
}

/// After two seconds, and when that does not help once a minute. Best effort.
fn restart_after_failures(service: &Owned) {
    let mut actions = [2_000, 60_000].map(|ms| SC_ACTION { Type: SC_ACTION_RESTART, Delay: ms });
    let failures = SERVICE_FAILURE_ACTIONSW {
        dwResetPeriod: FAILURES_COUNT_S,
        cActions: actions.len() as u32,
        lpsaActions: actions.as_mut_ptr(),
        ..SERVICE_FAILURE_ACTIONSW::default()
    };
    let flag = SERVICE_FAILURE_ACTIONS_FLAG { fFailureActionsOnNonCrashFailures: 1 };
    // SAFETY: the structures are those of their levels, and the array is as long as it says.
    unsafe {
        let info = (&raw const failures).cast();
        ChangeServiceConfig2W(service.0, SERVICE_CONFIG_FAILURE_ACTIONS, info);
        let info = (&raw const flag).cast();
        ChangeServiceConfig2W(service.0, SERVICE_CONFIG_FAILURE_ACTIONS_FLAG, info);
    }
}

/// The body of the service that this process is, called by the manager on a thread of its own.
type Body = unsafe extern "system" fn(u32, *mut *mut u16);
/// Hears what the manager wants.
type Handler =
    unsafe extern "system" fn(u32, u32, *mut core::ffi::c_void, *mut core::ffi::c_void) -> u32;

/// Is a service until its body has returned. Fails if the manager has not started this process.
pub fn dispatch(body: Body) -> io::Result<()> {
    // Of a process with a single service its name does not matter.
    let mut name = wide("".as_ref());
    let table = [
        SERVICE_TABLE_ENTRYW { lpServiceName: name.as_mut_ptr(), lpServiceProc: Some(body) },
        SERVICE_TABLE_ENTRYW::default(),
    ];
    // SAFETY: the table ends with an empty entry, and outlives the call.
    checked(unsafe { StartServiceCtrlDispatcherW(table.as_ptr()) })
}

/// What this process tells the manager by.
pub struct Teller(SERVICE_STATUS_HANDLE);

// SAFETY: the handle is a number of the manager's, valid to the end of the process in any thread.
unsafe impl Send for Teller {}
// SAFETY: as above.
unsafe impl Sync for Teller {}

impl Teller {
    /// From now on this function hears what the manager wants.
    pub fn new(handler: Handler) -> io::Result<Self> {
        let name = wide("".as_ref());
        // SAFETY: the name ends with a zero; the function may be called at any time.
        let handle = unsafe { RegisterServiceCtrlHandlerExW(name.as_ptr(), Some(handler), null()) };
        if handle.is_null() { Err(io::Error::last_os_error()) } else { Ok(Self(handle)) }
    }

    /// Tells how the service is. Best effort: there is nobody to tell that it failed.
    pub fn tell(&self, status: &SERVICE_STATUS) {
        // SAFETY: the handle is valid, and the call reads the structure.
        unsafe { SetServiceStatus(self.0, status) };
    }
}
