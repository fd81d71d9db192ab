// Package clerk behaves like an instance of Clerk: the part of its Backend API that the platform and its monitor use, signing
// keys that are real, session tokens, and webhooks. It also has the other side, a Verifier, which is a platform's verification of those tokens, right by default
// and wrong on demand.
//
// Users come from outside, through methods. What Clerk does not publish is marked as an assumption where it stands.
package clerk
