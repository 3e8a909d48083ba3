package webhook

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

// retryAfterSeconds is how long a full or restarting log may need. NXCloud's
// pages do not say whether it honours the header; other clients do.
const retryAfterSeconds = 30

// refusal is an answer other than 200.
type refusal struct {
	status  int
	outcome outcome
	// reason is for programs, message for people: what is wrong, what to do.
	reason, message string
	// retryAfter is in seconds; zero is what a full or restarting log may need.
	retryAfter int
	// cause is for the log only. It holds no content of the callback.
	cause error
	// unreadable is why no event can be made of the callback, however often it is
	// sent; empty for every other refusal. It holds no content of the callback.
	unreadable string
}

func (r *refusal) write(w http.ResponseWriter) {
	header := w.Header()
	switch r.status {
	case http.StatusMethodNotAllowed:
		header.Set("Allow", http.MethodPost)
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		header.Set("Retry-After", strconv.Itoa(cmp.Or(r.retryAfter, retryAfterSeconds)))
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

func refuseOverload(cause error) *refusal {
	return &refusal{status: http.StatusServiceUnavailable, outcome: outcomeUnavailable, reason: "OVERLOADED",
		message: "too many callbacks at once: send it again later", cause: cause}
}

func refuseNotJSON(cause error) *refusal {
	return &refusal{status: http.StatusBadRequest, outcome: outcomeNotJSON, reason: "BODY_NOT_JSON",
		message: cause.Error() + ": send the callback as one JSON text in UTF-8", cause: cause, unreadable: cause.Error()}
}

// refuseUntranslatable is the answer where JSON did not become events: a mistake in
// this server.
func refuseUntranslatable(cause error) *refusal {
	refused := refuseInternal(cause)
	refused.unreadable = "internal error while translating; the server's log has the cause"
	return refused
}

func refuseInternal(cause error) *refusal {
	return &refusal{status: http.StatusInternalServerError, outcome: outcomeError, reason: "INTERNAL",
		message: "the callback could not be processed and was not stored: send it again; the server's log has the cause", cause: cause}
}

// refuseAppend tells a log that cannot take callbacks now from one that was
// asked for the impossible.
func refuseAppend(err error) *refusal {
	for _, temporary := range []error{eventlog.ErrFull, eventlog.ErrUnavailable, eventlog.ErrClosed, eventlog.ErrFailed, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, temporary) {
			return &refusal{status: http.StatusServiceUnavailable, outcome: outcomeUnavailable, reason: "LOG_UNAVAILABLE",
				message: "the callback could not be made durable: send it again later", cause: err}
		}
	}
	return refuseInternal(err)
}
