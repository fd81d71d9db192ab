// Package escalation tests escalation rules, routing and acknowledgements together, with real servers and a shortened policy: is the right receiver
// notified, once and in time, also while servers are restarted? All tests run in real time, and have the build tag acceptance. The alerts are
// synthetic; escalation rules, routing and messages are the shipped ones.
package escalation
