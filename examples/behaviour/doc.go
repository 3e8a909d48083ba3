// Package behaviour has no code, only the test that every example consumer passes: the
// one of the Go SDK, those with generated clients, and the page in a headless Chromium;
// and with them server-sent events, read by curl and by that browser's EventSource. All
// go through the same script against the same server process. What each printed is held
// against what the server stored: in order, nothing twice within a process, nothing
// left out.
//
// It needs what the examples need, and the examples built, so it is not part of
// go test ./...; `make examples` builds them and runs it.
package behaviour
