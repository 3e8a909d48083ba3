// Package cluster tests replicas of the server on NATS JetStream: the log's
// conformance suite on one server and on three, servers and replicas that are killed,
// restarted and cut off from each other under load, and the way from an embedded log
// to a stream. The servers run in the test's process, each with a store of its own, and
// reach each other through proxies that can be cut.
//
// It has nothing but tests, in a module of its own.
package cluster
