// Package mandrill behaves like Mailchimp Transactional: an account with subaccounts, a quota an hour with a backlog,
// counters, sending domains, and webhooks in batches. Messages come through the API or through methods; where they go is
// nowhere.
//
// What Mandrill does not publish is marked as an assumption where it stands.
package mandrill
