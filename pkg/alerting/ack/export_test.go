package ack

// Renew is for the test of a renewal that meets an unacknowledgement.
var Renew = renew
