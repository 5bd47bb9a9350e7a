//! A kind that a user of this library brings along: registered by name before the start, asked for by that name in the configuration.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Middleware, Scope, Settings};

/// Settings of `custom`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Custom {
    /// The name it was registered under.
    pub name: String,
    /// What it asks for.
    pub settings: BTreeMap<String, String>,
}

impl Settings for Custom {
    fn build(&self, scope: &Scope<'_>) -> Option<Rc<dyn Middleware>> {
        // What is wrong was told when the plan was built.
        scope.ground.registry.make(self).ok()
    }
}

/// Makes one core's link from an entry's settings, or says what is wrong with them. Called on every core, and once more when a
/// configuration is checked.
pub type Factory = dyn Fn(&BTreeMap<String, String>) -> Result<Rc<dyn Middleware>, String> + Send + Sync;

/// The kinds that a user of this library brings along.
///
/// ```
/// use std::rc::Rc;
/// use ringway::clock::Instant;
/// use ringway::middleware::{Flow, Middleware, Registry, Request};
///
/// /// Marks each request on its way to the endpoint.
/// struct Mark;
///
/// impl Middleware for Mark {
///     fn on_request(&self, request: &mut Request<'_>, _: Instant) -> Flow {
///         request.notes.request.set("X-Marked", b"yes");
///         Flow::Next
///     }
/// }
///
/// let registry = Registry::default().with("mark", |_settings| Ok(Rc::new(Mark)));
/// ```
#[derive(Clone, Default)]
pub struct Registry(HashMap<String, Arc<Factory>>);

impl Registry {
    /// And this kind, `{ "custom": { "name": NAME, "settings": { .. } } }` in the configuration.
    #[must_use]
    pub fn with(
        mut self,
        name: &str,
        factory: impl Fn(&BTreeMap<String, String>) -> Result<Rc<dyn Middleware>, String> + Send + Sync + 'static,
    ) -> Self {
        self.0.insert(name.to_owned(), Arc::new(factory));
        self
    }

    /// One core's link.
    ///
    /// # Errors
    /// When nothing is registered under its name, or its settings are wrong.
    pub fn make(&self, custom: &Custom) -> Result<Rc<dyn Middleware>, String> {
        let Some(factory) = self.0.get(&custom.name) else {
            let mut names: Vec<String> = self.0.keys().map(|name| format!("{name:?}")).collect();
            names.sort();
            let there_are =
                if names.is_empty() { "this program brings none along".into() } else { format!("there are: {}", names.join(", ")) };
            return Err(format!("no middleware is registered as {:?}; {there_are}", custom.name));
        };
        factory(&custom.settings)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
