//! The service control manager of Windows: who starts services, and wants to hear of them.

use super::ffi::services::{Description, Installed, Teller, dispatch};
use super::signals;
use crate::sys::Signal;
use log::Level;
use std::ffi::{OsStr, OsString, c_void};
use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use windows_sys::Win32::Foundation::{
    ERROR_CALL_NOT_IMPLEMENTED, ERROR_FAILED_SERVICE_CONTROLLER_CONNECT,
    ERROR_SERVICE_DOES_NOT_EXIST, ERROR_SERVICE_EXISTS, ERROR_SERVICE_NOT_ACTIVE,
    ERROR_SERVICE_SPECIFIC_ERROR, NO_ERROR,
};
use windows_sys::Win32::System::Services::{
    SERVICE_ACCEPT_PARAMCHANGE, SERVICE_ACCEPT_SHUTDOWN, SERVICE_ACCEPT_STOP,
    SERVICE_CONTROL_INTERROGATE, SERVICE_CONTROL_PARAMCHANGE, SERVICE_CONTROL_SHUTDOWN,
    SERVICE_CONTROL_STOP, SERVICE_RUNNING, SERVICE_START_PENDING, SERVICE_STATUS,
    SERVICE_STATUS_CURRENT_STATE, SERVICE_STOP_PENDING, SERVICE_STOPPED, SERVICE_WIN32_OWN_PROCESS,
};

/// The account of services: it may open ports and little else.
const ACCOUNT: &str = r"NT AUTHORITY\LocalService";
/// How long starting and stopping may take before the manager takes it for a failure.
const HINT: Duration = Duration::from_secs(30);
/// How often it is looked whether a service has started or stopped: nothing tells.
const LOOK: Duration = Duration::from_millis(100);

/// Who has started this process as a service.
static TELLER: OnceLock<Teller> = OnceLock::new();

/// What the service does, until it is done.
static BODY: Mutex<Option<Box<dyn FnOnce() -> u8 + Send>>> = Mutex::new(None);

/// The service control manager, which has started us.
#[derive(Debug)]
pub struct Manager(());

impl Manager {
    /// The one that has started us, if we are a service.
    pub fn from_env() -> Option<Self> {
        is_manager().then_some(Self(()))
    }

    /// Tells it that we are ready, or that the end has begun. Of all else it knows no place.
    pub fn tell(&self, state: &str) {
        if state.starts_with("READY=1") {
            tell(SERVICE_RUNNING, 0);
        } else if state.starts_with("STOPPING=1") {
            tell(SERVICE_STOP_PENDING, 0);
        }
    }
}

/// Whether the manager has started us and wants to hear.
pub fn is_manager() -> bool {
    TELLER.get().is_some()
}

/// How long it waits for a sign of life: it wants none.
pub fn watchdog() -> Option<Duration> {
    None
}

/// A message as it goes to stderr.
pub fn message(_level: Level, text: &str) -> String {
    format!("serialshark: {text}\n")
}

fn tell(state: SERVICE_STATUS_CURRENT_STATE, exit_code: u8) {
    let is_pending = [SERVICE_START_PENDING, SERVICE_STOP_PENDING].contains(&state);
    // Not before somebody hears them.
    let is_heard = [SERVICE_RUNNING, SERVICE_STOP_PENDING].contains(&state);
    let controls = SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_SHUTDOWN | SERVICE_ACCEPT_PARAMCHANGE;
    let status = SERVICE_STATUS {
        dwServiceType: SERVICE_WIN32_OWN_PROCESS,
        dwCurrentState: state,
        dwControlsAccepted: if is_heard { controls } else { 0 },
        dwWin32ExitCode: if exit_code == 0 { NO_ERROR } else { ERROR_SERVICE_SPECIFIC_ERROR },
        dwServiceSpecificExitCode: exit_code.into(),
        dwCheckPoint: 0,
        dwWaitHint: if is_pending { HINT.as_millis() as u32 } else { 0 },
    };
    if let Some(teller) = TELLER.get() {
        teller.tell(&status);
    }
}

/// Does this as a service, until it is done; what it returns is the exit code.
///
/// # Errors
/// `NotConnected` when the manager has not started this process.
pub fn run(body: impl FnOnce() -> u8 + Send + 'static) -> io::Result<()> {
    *BODY.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(body));
    dispatch(serve).map_err(|error| match error.raw_os_error().map(i32::cast_unsigned) {
        Some(ERROR_FAILED_SERVICE_CONTROLLER_CONNECT) => io::ErrorKind::NotConnected.into(),
        _ => error,
    })
}

/// Called by the manager, on a thread of its own.
extern "system" fn serve(_count: u32, _arguments: *mut *mut u16) {
    let Ok(teller) = Teller::new(hear) else { return };
    let _ = TELLER.set(teller);
    tell(SERVICE_START_PENDING, 0);
    let body = BODY.lock().unwrap_or_else(PoisonError::into_inner).take();
    let exit_code = body.map_or(1, |body| body());
    tell(SERVICE_STOPPED, exit_code);
}

/// Called by the manager when it wants something.
extern "system" fn hear(control: u32, _: u32, _: *mut c_void, _: *mut c_void) -> u32 {
    match control {
        SERVICE_CONTROL_STOP | SERVICE_CONTROL_SHUTDOWN => {
            tell(SERVICE_STOP_PENDING, 0);
            signals::tell(Signal::Terminate);
        }
        SERVICE_CONTROL_PARAMCHANGE => signals::tell(Signal::Hangup),
        SERVICE_CONTROL_INTERROGATE => {}
        _ => return ERROR_CALL_NOT_IMPLEMENTED,
    }
    NO_ERROR
}

/// Installs a service that runs this command, and starts with the machine.
///
/// # Errors
/// `AlreadyExists` when there is one of this name, `PermissionDenied` without administrator's
/// rights.
pub fn install(name: &str, title: &str, program: &OsStr, args: &[OsString]) -> io::Result<()> {
    let mut command = OsString::new();
    for arg in std::iter::once(program).chain(args.iter().map(OsString::as_os_str)) {
        // Names of files hold no quotes here.
        command.push("\"");
        command.push(arg);
        command.push("\" ");
    }
    let description = Description {
        name,
        title,
        description: "Captures a serial line for Wireshark",
        command: &command,
        account: ACCOUNT,
    };
    Installed::install(&description).map(drop).map_err(|error| {
        let exists = error.raw_os_error() == Some(ERROR_SERVICE_EXISTS.cast_signed());
        if exists { io::ErrorKind::AlreadyExists.into() } else { error }
    })
}

/// Starts a service, and waits until it runs.
///
/// # Errors
/// `NotFound` when it is missing, `Other` when it ends at once, with its exit code; and when it runs
/// already.
pub fn start(name: &str) -> io::Result<()> {
    let service = Installed::open(name).map_err(missing)?;
    service.start()?;
    match settled(&service, SERVICE_START_PENDING)? {
        status if status.dwCurrentState == SERVICE_RUNNING => Ok(()),
        status => Err(io::Error::other(format!(
            "it has ended, with exit code {}",
            status.dwServiceSpecificExitCode
        ))),
    }
}

/// Stops a service, and waits until it has ended.
///
/// # Errors
/// When it is missing, or does not run.
pub fn stop(name: &str) -> io::Result<()> {
    end(&Installed::open(name).map_err(missing)?)
}

/// Stops a service if it runs, and removes it.
///
/// # Errors
/// When it is missing, or the rights for it.
pub fn remove(name: &str) -> io::Result<()> {
    let service = Installed::open_to_remove(name).map_err(missing)?;
    match end(&service) {
        Err(error) if error.raw_os_error() != Some(ERROR_SERVICE_NOT_ACTIVE.cast_signed()) => {
            Err(error)
        }
        _ => service.remove(),
    }
}

/// With its kind, if there is no such service.
fn missing(error: io::Error) -> io::Error {
    let is_missing = error.raw_os_error() == Some(ERROR_SERVICE_DOES_NOT_EXIST.cast_signed());
    if is_missing { io::ErrorKind::NotFound.into() } else { error }
}

fn end(service: &Installed) -> io::Result<()> {
    service.stop()?;
    settled(service, SERVICE_STOP_PENDING).map(drop)
}

/// Waits until it is no longer in this state, but not for ever.
fn settled(
    service: &Installed,
    pending: SERVICE_STATUS_CURRENT_STATE,
) -> io::Result<SERVICE_STATUS> {
    let mut left = HINT;
    loop {
        let status = service.status()?;
        let is_stopping =
            pending == SERVICE_STOP_PENDING && status.dwCurrentState == SERVICE_RUNNING;
        if status.dwCurrentState != pending && !is_stopping {
            return Ok(status);
        }
        left = left.checked_sub(LOOK).ok_or(io::ErrorKind::TimedOut)?;
        std::thread::sleep(LOOK);
    }
}
