// Package webhook is both ends of the webhooks of Shopify, Clerk and Mandrill: signatures, delivery with retries, and a receiver. It does
// not know what the webhooks are about.
package webhook
