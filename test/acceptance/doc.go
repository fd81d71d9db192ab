// Package acceptance judges whole stacks in real time, with the rules, the routing and the servers that run in production: what each fault does, what a
// quiet day does not do, what a drill walks through. Its tests have the build tag acceptance and the machine to themselves (`make acceptance`); what can be
// said without the clock is said in `make test` and never here.
package acceptance
