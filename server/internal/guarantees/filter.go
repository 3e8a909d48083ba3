package guarantees

import (
	"slices"
	"strings"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// selects reports whether the request asks for the event: by its filters and, where
// it begins or ends at a time, by that.
func selects(req *wabastreamv1.SubscribeRequest, r *Receipt) bool {
	if t := req.GetStartTime(); t != nil && r.ReceiveTime.Before(t.AsTime()) {
		return false
	}
	if t := req.GetStopTime(); t != nil && !r.ReceiveTime.Before(t.AsTime()) {
		return false
	}
	return len(req.GetFilters()) == 0 || slices.ContainsFunc(req.GetFilters(), func(f *wabastreamv1.EventFilter) bool {
		return matchesWABA(f, r.WABA) && matchesPhone(f, r.Phone) && matchesType(f, r.Type) && r.Severity >= f.GetMinSeverity()
	})
}

func matchesWABA(f *wabastreamv1.EventFilter, waba string) bool {
	switch {
	case len(f.GetWabaIds()) == 0 && !f.GetIncludeUnattributed():
		return true
	case waba == "":
		return f.GetIncludeUnattributed()
	default:
		return slices.Contains(f.GetWabaIds(), waba)
	}
}

func matchesPhone(f *wabastreamv1.EventFilter, phone string) bool {
	return len(f.GetBusinessPhones()) == 0 || slices.ContainsFunc(f.GetBusinessPhones(), func(p string) bool {
		return strings.NewReplacer("+", "", " ", "", "-", "", "(", "", ")", "").Replace(p) == phone
	})
}

func matchesType(f *wabastreamv1.EventFilter, t string) bool {
	return len(f.GetTypes()) == 0 || slices.ContainsFunc(f.GetTypes(), func(path string) bool { return isAtOrBelow(t, path) })
}

// maySelect reports whether the request can ask for events of types that the path
// selects. The empty path selects all.
func maySelect(req *wabastreamv1.SubscribeRequest, path string) bool {
	return path == "" || len(req.GetFilters()) == 0 || slices.ContainsFunc(req.GetFilters(), func(f *wabastreamv1.EventFilter) bool {
		return len(f.GetTypes()) == 0 || slices.ContainsFunc(f.GetTypes(), func(t string) bool {
			return isAtOrBelow(t, path) || isAtOrBelow(path, t)
		})
	})
}

func isAtOrBelow(t, path string) bool { return t == path || strings.HasPrefix(t, path+".") }
