package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// retryAfterSeconds is how long a full or restarting log may need. NXCloud's
// pages do not say whether it honours the header; other clients do.
const retryAfterSeconds = "30"

// refusal is an answer other than 200.
type refusal struct {
	status  int
	outcome outcome
	// reason is for programs, message for people: what is wrong, what to do.
	reason, message string
	// cause is for the log only. It holds no content of the callback.
	cause error
}

func (r *refusal) write(w http.ResponseWriter) {
	header := w.Header()
	switch r.status {
	case http.StatusMethodNotAllowed:
		header.Set("Allow", http.MethodPost)
	case http.StatusServiceUnavailable:
		header.Set("Retry-After", retryAfterSeconds)
	}
	header.Set("Content-Type", "application/json")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(r.status)
	// Two texts always marshal, and a client that is gone cannot be told.
	_ = json.NewEncoder(w).Encode(struct {
		Reason  string `json:"reason"`
		Message string `json:"message"`
	}{r.reason, r.message})
}

// writeSuccess answers with the text that NXCloud's other callback pages ask
// for; its WhatsApp pages do not say what they expect.
func writeSuccess(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff")
	_, _ = io.WriteString(w, "success") // a client that is gone cannot be told
}

func refuseSize(limit int64) *refusal {
	return &refusal{status: http.StatusRequestEntityTooLarge, outcome: outcomeTooLarge, reason: "BODY_TOO_LARGE",
		message: fmt.Sprintf("the body is over %d bytes: send less, or raise the source's max_body_bytes", limit)}
}

func refuseSignature(reason, message string, cause error) *refusal {
	return &refusal{status: http.StatusUnauthorized, outcome: outcomeRejectedSignature, reason: reason, message: message, cause: cause}
}

func refuseInternal(cause error) *refusal {
	return &refusal{status: http.StatusInternalServerError, outcome: outcomeError, reason: "INTERNAL",
		message: "the callback could not be processed and was not stored: send it again; the server's log has the cause", cause: cause}
}

// refuseAppend tells a log that cannot take callbacks now from one that was
// asked for the impossible.
func refuseAppend(err error) *refusal {
	for _, temporary := range []error{eventlog.ErrFull, eventlog.ErrClosed, eventlog.ErrFailed, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, temporary) {
			return &refusal{status: http.StatusServiceUnavailable, outcome: outcomeUnavailable, reason: "LOG_UNAVAILABLE",
				message: "the callback could not be made durable: send it again later", cause: err}
		}
	}
	return refuseInternal(err)
}
