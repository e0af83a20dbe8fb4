//! Figures and findings for an MQTT broker: what is known now as retained messages, and each finding
//! as it comes.
//!
//! One thread talks to the broker, with a runtime of its own that nobody else sees. What it has to say
//! is on a [`Desk`]: the newest of each topic, and a bounded queue of findings, each of which stays
//! there until the broker has acknowledged it. So a broker that is away or slow costs no more memory,
//! and nobody waits for it.

pub mod address;
#[cfg(target_os = "linux")]
mod tls;

use crate::outage::Outage;
use address::Broker;
use log::warn;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, LastWill, MqttOptions,
    Outgoing, Packet, QoS, StateError, mqttbytes,
};
#[cfg(target_os = "linux")]
use rumqttc::{TlsConfiguration, Transport};
use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

/// The topic that says whether the program runs.
const STATUS: &str = "status";
/// How long the end of the program waits for the broker.
const GRACE: Duration = Duration::from_millis(400);
/// A broker that does not answer for twice as long is taken for gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Messages that wait inside the client.
const HANDED: usize = 8;
/// Findings that wait for the broker; when there are more, the oldest is not told.
const FINDINGS: usize = 256;
/// Octets of the largest message: a report on 255 nodes has less.
const LARGEST: usize = 4 << 20;

/// What is to be told.
#[derive(Default)]
struct State {
    /// The newest of each topic below the prefix, and how often it was changed.
    shown: BTreeMap<&'static str, (u64, String)>,
    findings: VecDeque<String>,
    /// Findings that were not told.
    missed: u64,
    is_closing: bool,
}

/// Between the thread that listens to the line and the one that talks to the broker.
pub struct Desk {
    broker: Broker,
    /// What it is called at the broker: the same in each connection, so that the broker ends the one
    /// before, and tells the last will of that one first. Nobody else has it.
    id: String,
    state: Mutex<State>,
    news: Notify,
    closing: Notify,
}

/// What one connection was told.
#[derive(Default)]
struct Told {
    greeting: usize,
    shown: BTreeMap<&'static str, u64>,
    /// The first finding waits for its acknowledgement.
    finding: bool,
    farewell: usize,
}

impl Desk {
    /// For this broker; nothing is on it yet.
    pub fn new(broker: Broker) -> Self {
        let id = format!("ss-{:016x}", RandomState::new().hash_one(std::process::id()));
        let (state, news, closing) = (Mutex::default(), Notify::new(), Notify::new());
        Self { broker, id, state, news, closing }
    }

    /// The number of the port whose line it is about.
    pub fn port(&self) -> usize {
        self.broker.port
    }

    /// Shows this from now on at `PREFIX/topic`, retained.
    pub fn show(&self, topic: &'static str, text: String) {
        let mut state = self.state();
        let (version, shown) = state.shown.entry(topic).or_default();
        (*version, *shown) = (*version + 1, text);
        drop(state);
        self.news.notify_one();
    }

    /// Shows once more that this program runs, as each connection begins with: another one that ends
    /// below the same prefix says otherwise.
    pub fn show_status(&self) {
        self.show(STATUS, "online".to_owned());
    }

    /// Tells this once at `PREFIX/findings`.
    pub fn tell(&self, finding: String) {
        let mut state = self.state();
        if state.findings.len() == FINDINGS {
            // The first one may be on its way, and goes when it is acknowledged.
            state.findings.remove(1);
            state.missed += 1;
        }
        state.findings.push_back(finding);
        drop(state);
        self.news.notify_one();
    }

    /// What is shown at a topic, and how often that was said.
    #[cfg(test)]
    pub fn shown(&self, topic: &str) -> Option<(u64, String)> {
        self.state().shown.get(topic).cloned()
    }

    /// What waits to be told.
    #[cfg(test)]
    pub fn findings(&self) -> Vec<String> {
        self.state().findings.iter().cloned().collect()
    }

    /// Nothing more comes: [`run`](Self::run) returns in less than half a second.
    pub fn close(&self) {
        self.state().is_closing = true;
        self.news.notify_one();
        self.closing.notify_one();
    }

    /// Talks to the broker until the desk is closed.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn run(&self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let late = async {
                self.closing.notified().await;
                sleep(GRACE).await;
            };
            tokio::select! {
                () = self.work() => {}
                () = late => warn!("{}: the broker did not take all in time", self.broker),
            }
        });
        // A name that is looked up is not waited for.
        runtime.shutdown_background();
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whole at every point.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One connection after another.
    async fn work(&self) {
        let mut outage = Outage::new();
        let name = self.broker.to_string();
        loop {
            let Err(why) = self.connect(&mut outage).await else { return };
            let why = format!("no connection to the broker: {why}");
            let patience = outage.begin(&name, &why);
            let until = sleep(patience);
            let mut until = pin!(until);
            loop {
                tokio::select! {
                    () = &mut until => break,
                    () = self.news.notified() => if self.state().is_closing { return },
                }
            }
        }
    }

    /// Until the connection is lost, and why; or all is told and the desk closed.
    async fn connect(&self, outage: &mut Outage) -> Result<(), String> {
        // A client of its own for each, so that nothing of the last one is in it.
        let (client, events) = AsyncClient::new(self.options()?, HANDED);
        let mut told = None;
        let ended = self.connection(&client, events, outage, &mut told).await;
        ended.map_err(|error| {
            let why = why(&error);
            let is_greeted = told.is_some() || self.broker.tls;
            match error {
                ConnectionError::MqttState(_) | ConnectionError::NotConnAck(_) if !is_greeted => {
                    format!("{why}: it may want TLS, mqtts://")
                }
                _ => why,
            }
        })
    }

    /// Until it is lost, or all is told and the desk closed. `told` is set once the broker answers.
    async fn connection(
        &self,
        client: &AsyncClient,
        mut events: EventLoop,
        outage: &mut Outage,
        told: &mut Option<Told>,
    ) -> Result<(), ConnectionError> {
        loop {
            // Not given up for news: what is half written must be written to its end.
            let mut poll = pin!(events.poll());
            let event = loop {
                tokio::select! {
                    event = &mut poll => break event?,
                    () = self.news.notified() => if let Some(told) = told {
                        self.hand_over(client, told);
                    },
                }
            };
            match event {
                Event::Incoming(Packet::ConnAck(_)) => {
                    outage.end(&self.broker.to_string());
                    let missed = std::mem::take(&mut self.state().missed);
                    if missed > 0 {
                        warn!(
                            "{}: {missed} findings were not told, since more than {FINDINGS} waited",
                            self.broker
                        );
                    }
                    *told = Some(Told::default());
                }
                Event::Incoming(Packet::PubAck(_)) => {
                    self.state().findings.pop_front();
                    told.iter_mut().for_each(|told| told.finding = false);
                }
                Event::Outgoing(Outgoing::Disconnect) => return Ok(()),
                _ => {}
            }
            if let Some(told) = told {
                self.hand_over(client, told);
            }
        }
    }

    /// Gives the client what it has not been told, as much as it takes. It is asked again after
    /// whatever it does.
    fn hand_over(&self, client: &AsyncClient, told: &mut Told) {
        let publish = |topic: String, qos, retain, text: &str| {
            client.try_publish(topic, qos, retain, text.as_bytes()).is_ok()
        };
        let greetings = self.broker.greetings();
        while let Some((topic, text)) = greetings.get(told.greeting) {
            if !publish(topic.clone(), QoS::AtMostOnce, true, text) {
                return;
            }
            told.greeting += 1;
        }
        let state = self.state();
        for (topic, (version, text)) in &state.shown {
            if told.shown.get(topic) != Some(version) {
                if !publish(self.broker.topic(topic), QoS::AtMostOnce, true, text) {
                    return;
                }
                told.shown.insert(topic, *version);
            }
        }
        if let (false, Some(finding)) = (told.finding, state.findings.front()) {
            told.finding = publish(self.broker.topic("findings"), QoS::AtLeastOnce, false, finding);
            return;
        }
        if state.is_closing && state.findings.is_empty() {
            if told.farewell == 0
                && publish(self.broker.topic(STATUS), QoS::AtMostOnce, true, "offline")
            {
                told.farewell = 1;
            }
            if told.farewell == 1 && client.try_disconnect().is_ok() {
                told.farewell = 2;
            }
        }
    }

    fn options(&self) -> Result<MqttOptions, String> {
        let id = self.id.clone();
        let mut options =
            MqttOptions::new(id, self.broker.server.host.clone(), self.broker.server.port);
        options.set_keep_alive(KEEP_ALIVE).set_max_packet_size(LARGEST, LARGEST);
        let will = LastWill::new(self.broker.topic(STATUS), "offline", QoS::AtLeastOnce, true);
        options.set_last_will(will);
        if let Some(user) = &self.broker.server.user {
            options
                .set_credentials(user, self.broker.server.password.as_deref().unwrap_or_default());
        }
        #[cfg(target_os = "linux")]
        if self.broker.tls {
            let config = tls::config(self.broker.authorities.as_deref())?;
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(config)));
        }
        Ok(options)
    }
}

/// What is wrong, and what to do where the user can.
fn why(error: &ConnectionError) -> String {
    #[cfg(target_os = "linux")]
    if let Some(why) = crate::tls::why(error, "--mqtt-ca") {
        return why;
    }
    match error {
        ConnectionError::Io(error) => crate::error::words_of(error),
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
        ) => "it refuses this user or password: see --mqtt-password-file".to_owned(),
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => {
            "it does not answer".to_owned()
        }
        ConnectionError::MqttState(StateError::ConnectionAborted) => "it hung up".to_owned(),
        ConnectionError::MqttState(
            StateError::Io(error) | StateError::Deserialization(mqttbytes::Error::Io(error)),
        ) => crate::error::words_of(error),
        ConnectionError::NotConnAck(_)
        | ConnectionError::MqttState(StateError::Deserialization(_)) => {
            "it does not speak MQTT at this port".to_owned()
        }
        #[cfg(target_os = "linux")]
        ConnectionError::Tls(rumqttc::TlsError::Io(error)) => crate::error::words_of(error),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desk() -> Desk {
        Desk::new(Broker::parse("mqtt://127.0.0.1:1/a").unwrap())
    }

    #[test]
    fn a_broker_that_is_away_costs_no_more_memory() {
        let desk = desk();
        for n in 0..1000 {
            desk.tell(n.to_string());
            desk.show("report", n.to_string());
        }
        let findings = desk.findings();
        assert_eq!((findings.len(), desk.state().missed), (FINDINGS, 1000 - FINDINGS as u64));
        // The first one may be on its way.
        assert_eq!((findings[0].as_str(), findings[1].as_str()), ("0", "745"));
        assert_eq!(desk.state().shown.len(), 1);
    }
}
