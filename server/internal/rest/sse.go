package rest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
	"github.com/wabastream/wabastream/server/internal/guard"
)

// sse serves a subscription as server-sent events, for EventSource in browsers: every
// event is a message, whose id is its cursor, so that a browser resumes with the very
// next one by itself. Its other frames are events with names.
//
// It holds nothing back: it takes the next frame when the one before was written, so
// that a reader that is slow is held by the stream as any other.
type sse struct {
	events wabastreamv1.EventServiceClient
}

// ServeHTTP implements http.Handler.
func (s sse) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request, err := sseRequest(r)
	if err != nil {
		WriteError(w, err)
		return
	}
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(r.Context(), guard.Metadata(r.Context())))
	defer cancel()
	stream, err := s.events.Subscribe(ctx, request)
	if err != nil {
		WriteError(w, err)
		return
	}
	first, err := stream.Recv()
	if err != nil {
		refuseSSE(w, r, err)
		return
	}
	sendSSE(beginSSE(w), stream, first)
}

// sendSSE sends the stream's frames until it ends, or the client is gone.
func sendSSE(out *sseWriter, stream grpc.ServerStreamingClient[wabastreamv1.SubscribeResponse], frame *wabastreamv1.SubscribeResponse) {
	out.retry(someRetry())
	for {
		out.frame(frame)
		if out.flush() != nil {
			return
		}
		var err error
		if frame, err = stream.Recv(); err != nil {
			if !errors.Is(err, io.EOF) {
				out.error(withReason(status.Convert(err)))
				_ = out.flush()
			}
			return
		}
	}
}

// refuseSSE answers a subscription that did not begin. An EventSource gives up for
// good at any status but 200, which suits errors that a client has to mend; when the
// server is only busy or on its way out it is told inside a stream, and comes again.
func refuseSSE(w http.ResponseWriter, r *http.Request, err error) {
	st := withReason(status.Convert(err))
	if st.Code() != codes.Unavailable || !strings.Contains(r.Header.Get("Accept"), eventStream) {
		WriteError(w, err)
		return
	}
	out := beginSSE(w)
	out.retry(retryDelay(st) + someRetry())
	out.error(st)
	_ = out.flush()
}

const eventStream = "text/event-stream"

func beginSSE(w http.ResponseWriter) *sseWriter {
	header := w.Header()
	header.Set("Content-Type", eventStream)
	header.Set("X-Accel-Buffering", "no") // nginx would collect events
	return &sseWriter{w: w, control: http.NewResponseController(w)}
}

// sseWriter collects what belongs together and writes it at once.
type sseWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buffer  bytes.Buffer
}

// flush sends what was collected.
func (s *sseWriter) flush() error {
	if _, err := s.w.Write(s.buffer.Bytes()); err != nil { //nolint:gosec // it is no HTML, and declared as what it is
		return err
	}
	if s.buffer.Cap() > keptBuffer {
		s.buffer = bytes.Buffer{}
	}
	s.buffer.Reset()
	return s.control.Flush()
}

// keptBuffer is how much memory a stream may hold on to between frames.
const keptBuffer = 64 << 10
