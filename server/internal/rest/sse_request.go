package rest

import (
	"net/http"
	"net/url"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

const (
	lastEventID = "Last-Event-ID"
	// sseLabel is what operators see of who subscribed so.
	sseLabel = "server-sent events"
)

// sseRequest is the subscription that a query asks for. An EventSource cannot change
// its URL when it comes again, so that the header that it then sends, Last-Event-ID,
// wins over where the URL says to begin.
//
// It goes on over a gap that retention left, which it is told of: an EventSource could
// do nothing about an error but give up.
func sseRequest(r *http.Request) (*wabastreamv1.SubscribeRequest, error) {
	query := r.URL.Query() // which was checked
	request := &wabastreamv1.SubscribeRequest{
		ExpiredCursorPolicy: wabastreamv1.ExpiredCursorPolicy_EXPIRED_CURSOR_POLICY_CONTINUE_WITH_GAP,
		ClientLabel:         sseLabel,
	}
	for _, name := range []string{"after_cursor", "from"} {
		if len(query[name]) > 1 {
			return nil, invalid(name, "it is given more than once")
		}
	}
	if query.Has("waba_id") || query.Has("type") {
		request.Filters = []*wabastreamv1.EventFilter{{WabaIds: query["waba_id"], Types: query["type"]}}
	}
	return request, setStart(request, query, r.Header.Values(lastEventID))
}

// setStart says where to begin; nowhere is at the newest event. An empty cursor is
// passed on, and refused: a lost one must not mean "latest".
func setStart(request *wabastreamv1.SubscribeRequest, query url.Values, resumed []string) error {
	if query.Has("after_cursor") && query.Has("from") {
		return invalid("from", "give either it or after_cursor")
	}
	switch {
	case len(resumed) > 1:
		return invalid(lastEventID, "it is given more than once")
	case len(resumed) == 1:
		request.Start = &wabastreamv1.SubscribeRequest_AfterCursor{AfterCursor: resumed[0]}
	case query.Has("after_cursor"):
		request.Start = &wabastreamv1.SubscribeRequest_AfterCursor{AfterCursor: query.Get("after_cursor")}
	case query.Has("from"):
		position, ok := map[string]wabastreamv1.StartPosition{
			"earliest": wabastreamv1.StartPosition_START_POSITION_EARLIEST,
			"latest":   wabastreamv1.StartPosition_START_POSITION_LATEST,
		}[query.Get("from")]
		if !ok {
			return invalid("from", "want earliest or latest")
		}
		request.Start = &wabastreamv1.SubscribeRequest_Position{Position: position}
	}
	return nil
}

// invalid refuses a request and names what of it is wrong.
func invalid(field, message string) error {
	st := reasoned(codes.InvalidArgument, reasonRequestInvalid, field+": "+message)
	detailed, err := st.WithDetails(&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
		{Field: field, Description: message, Reason: reasonRequestInvalid},
	}})
	if err != nil {
		return st.Err()
	}
	return detailed.Err()
}
