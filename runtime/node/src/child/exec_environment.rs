//! What a service's process begins with: its environment, its working directory, what it may use.

use std::{
    ffi::OsString,
    sync::{Arc, OnceLock},
};

use blackhole_config::is_configuration;
use blackhole_isolation::{Account, Plan};
use blackhole_process::LaunchBuilder;
use blackhole_protocol::environment;

use super::{incarnation::Incarnation, start_error::StartError};
use crate::secrets::CREDENTIALS_DIRECTORY;

/// What a service's process and the programs of its probes have in common.
pub(super) struct ExecEnvironment {
    clear_environment: bool,
    variables: Vec<(OsString, OsString)>,
    /// What of the node's environment is somebody's secret.
    withheld: Arc<[String]>,
    working_directory: Option<String>,
    pub(super) plan: Arc<Plan>,
}

impl ExecEnvironment {
    pub(super) fn apply(&self, mut builder: LaunchBuilder) -> LaunchBuilder {
        builder = builder.isolation(self.plan.clone());
        for name in own_configuration() {
            builder = builder.withhold(name);
        }
        if self.clear_environment {
            builder = builder.clear_environment();
        }
        for name in &*self.withheld {
            builder = builder.withhold(name);
        }
        for (name, value) in &self.variables {
            builder = builder.variable(name, value);
        }
        match &self.working_directory {
            Some(path) => builder.working_directory(path),
            None => builder,
        }
    }
}

/// The variables that place and configure this very node, which are none of its services' business.
fn own_configuration() -> &'static [OsString] {
    static NAMES: OnceLock<Vec<OsString>> = OnceLock::new();
    NAMES.get_or_init(|| {
        let names = std::env::vars_os().map(|(name, _)| name);
        names.filter(|name| name.to_str().is_some_and(is_configuration)).collect()
    })
}

impl Incarnation<'_> {
    pub(super) fn exec_environment(&self) -> Result<ExecEnvironment, StartError> {
        let directory = self.service.working_directory.as_ref();
        let plan = self.plan()?;
        let account = plan.identity().and_then(|identity| identity.account.as_ref());
        Ok(ExecEnvironment {
            clear_environment: self.service.environment.clear,
            variables: self.variables(account),
            withheld: self.context.resources.secrets.withheld().clone(),
            working_directory: directory.map(|path| path.render(&self.scope())),
            plan,
        })
    }

    /// What the child finds in its environment beside what it inherits, later ones winning. A child
    /// that runs as another user finds that user's home, and not the node's.
    fn variables(&self, account: Option<&Account>) -> Vec<(OsString, OsString)> {
        let scope = self.scope();
        let own = &self.service.environment;
        let account = account.into_iter().flat_map(|account| {
            [
                ("HOME", account.home.clone().into_os_string()),
                ("USER", account.name.clone().into()),
                ("LOGNAME", account.name.clone().into()),
                ("SHELL", account.shell.clone().into_os_string()),
            ]
        });
        let account = account.map(|(name, value)| (name.into(), value));
        let from_files = own.from_files.iter().map(|(name, value)| (name.into(), value.into()));
        let inline =
            own.inline.iter().map(|(name, value)| (name.into(), value.render(&scope).into()));
        let told = [
            (environment::NODE, OsString::from(scope.node)),
            (environment::SERVICE, scope.service.as_str().into()),
            (environment::INSTANCE, scope.instance.to_string().into()),
            (environment::RUNTIME_DIR, scope.runtime_dir.into()),
            (environment::DATA_DIR, self.data_dir().into()),
            (environment::TOLD, self.told()),
        ];
        let secrets = (!self.service.secrets.is_empty())
            .then(|| (CREDENTIALS_DIRECTORY, scope.own_secrets_dir().into()));
        let told = told.into_iter().chain(secrets);
        let told = told.map(|(name, value)| (name.into(), value));
        account.chain(from_files).chain(inline).chain(told).collect()
    }

    /// What a node that this service starts must not take for its own configuration.
    fn told(&self) -> OsString {
        let parts = [
            OsString::from(self.scope().node),
            self.scope().runtime_dir.into(),
            self.data_dir().into(),
        ];
        parts.join(":".as_ref())
    }
}
