// Package shopify behaves like the Admin API of Shopify, for many shops on one handler: tokens, versions, GraphQL with its
// costs and its leaky bucket, the errors that a monitor meets, and webhooks of orders. It has the fields that the platform and
// its monitor ask for, and refuses queries for others. What shops hold comes from outside, through methods; it knows nothing of
// the platform that asks.
//
// What Shopify does not publish is marked as an assumption where it stands.
package shopify
