// Package client is the Go SDK of wabastream: it subscribes to a server's
// events and stays subscribed. [Client.Handle] calls a function for each event,
// several at once if asked to, and keeps its place in a [Checkpoint]:
//
//	c, err := client.New("127.0.0.1:9090")
//	...
//	err = c.Handle(ctx, request, func(ctx context.Context, event *wabastreamv1.Event) error {
//		...
//	}, client.WithCheckpoint(client.NewFileCheckpoint("wabastream.cursor")))
//
// [Client.Subscribe] is the same as a loop that keeps its place itself:
//
//	for event, err := range c.Subscribe(ctx, request) {
//		...
//	}
//
// # What it guarantees
//
// Within one range over [Client.Subscribe], every event that matches is yielded
// exactly once and in log order, however often the connection is lost: after
// the server's first frame the client always resumes from its own cursor, and a
// stop at the head stays at the head that the first stream was given.
//
// Across restarts of the process, events come at least once. Handle with a checkpoint
// sees to that. Around a loop, the process saves a cursor and passes it as
// after_cursor when it starts again. Save Event.cursor once the event is dealt with, best in the same transaction. A
// subscription whose filter seldom matches should also save the cursors that
// [WithObserver] reports: they move while nothing matches, and a cursor is refused
// once retention has removed something after it that the filter, by its types, may
// select. An event that was dealt with and whose cursor was not saved comes again:
// be idempotent by Event.id.
//
// # What it does not do
//
// It does not retry the unary calls of [Client.API], and does not read ahead: the
// next frame is received when the loop asks for more, or when Handle's window has
// room, so a slow consumer is held back by flow control and loses nothing.
//
// # Errors
//
// The error of an iteration step is one of these, and Handle returns those that are
// a last step:
//
//   - a *[GapError]: events, or those of some types, were removed by retention
//     before they could be read. The only error after which the iteration
//     continues, if the loop does. Handle stops, unless it has [WithGapHandler].
//   - a *[Error]: the server refused or ended the subscription for good. Last step.
//   - the context's error. Last step.
//   - [ErrClosed]: the client was closed. Last step.
//
// Everything else is retried with backoff and reported only to the logger and
// the observer: UNAVAILABLE and the time-outs of proxies always; after the first
// frame also what proxies make of a broken connection (INTERNAL, UNKNOWN,
// CANCELLED and ABORTED without the server's reason), an answer that is not TLS
// (NO_TLS: before the first frame the options are most likely wrong),
// STREAM_LIMIT (the server may still be counting the stream that was just lost),
// and, from servers that ask for a token, CREDENTIALS_EXPIRED (once for each
// stream that was accepted, with a fresh token).
package client
