// Package webhook is both ends of the webhooks of Shopify, Clerk and Mandrill: how they are signed, sent and sent again,
// and how a platform receives them. It knows nothing of what the webhooks are about.
package webhook
