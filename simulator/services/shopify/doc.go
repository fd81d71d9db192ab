// Package shopify behaves like the Admin API of Shopify, for many shops on one handler: tokens, versions, GraphQL with its
// costs and its leaky bucket, errors in all their shapes, and webhooks. What shops hold comes from outside, through
// methods; it knows nothing of the platform that asks.
//
// What Shopify does not publish is marked as an assumption where it stands.
package shopify
