//! `ssh`: prepared commands. A session is a grant's name that was found in this instance's table, and a job is the name of
//! the call that started it; neither holds anything that a guest could forge.

use sandboxer_model::call::{CallError, CallRequest};
use wasmtime::component::Resource;

use super::Refusal;
use crate::{
    bindings::sandboxer::extension::{
        ssh::{Host, HostJob, HostSession, JobStatus, Output},
        types::Argument,
    },
    convert,
    instance::Instance,
};

/// A right to run the prepared commands of one grant.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Session {
    grant: String,
}

/// A command that was started as a job.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Job {
    grant: String,
    call: String,
}

impl Host for Instance {
    async fn open(&mut self, grant: String) -> Result<Resource<Session>, Refusal> {
        if self.calls().granted(&grant) {
            Ok(self.table().push(Session { grant })?)
        } else {
            Err(CallError::Denied("no such grant".to_owned()).into())
        }
    }
}

impl HostSession for Instance {
    async fn run(
        &mut self,
        session: Resource<Session>,
        call: String,
        arguments: Vec<Argument>,
    ) -> Result<Output, Refusal> {
        let request = self.request(&session, call, arguments)?;
        let calls = self.calls();
        let output = self.waiting(calls.run(request)).await??;
        Ok(convert::output(output))
    }

    async fn start(
        &mut self,
        session: Resource<Session>,
        call: String,
        arguments: Vec<Argument>,
    ) -> Result<Resource<Job>, Refusal> {
        let request = self.request(&session, call, arguments)?;
        let job = Job { grant: request.grant.clone(), call: request.call.clone() };
        let calls = self.calls();
        self.waiting(calls.start(request)).await??;
        Ok(self.table().push(job)?)
    }

    async fn drop(&mut self, session: Resource<Session>) -> wasmtime::Result<()> {
        self.table().delete(session)?;
        Ok(())
    }
}

impl HostJob for Instance {
    async fn poll(&mut self, job: Resource<Job>) -> Result<JobStatus, Refusal> {
        let Job { grant, call } = self.table().get(&job)?;
        let (grant, call) = (grant.clone(), call.clone());
        self.spend_call()?;
        let calls = self.calls();
        let status = self.waiting(calls.poll(&grant, &call)).await??;
        Ok(convert::job_status(status))
    }

    async fn drop(&mut self, job: Resource<Job>) -> wasmtime::Result<()> {
        self.table().delete(job)?;
        Ok(())
    }
}

impl Instance {
    fn request(
        &mut self,
        session: &Resource<Session>,
        call: String,
        arguments: Vec<Argument>,
    ) -> Result<CallRequest, Refusal> {
        let grant = self.table().get(session)?.grant.clone();
        self.spend_call()?;
        Ok(CallRequest { grant, call, arguments: arguments.into_iter().map(convert::argument).collect() })
    }
}
