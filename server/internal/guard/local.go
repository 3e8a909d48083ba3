package guard

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/wabastream/wabastream/server/internal/apierror"
)

// OwnMachine refuses a request that names another host, or came through a proxy. A
// page in a browser of this machine can make its own name resolve to loopback (DNS
// rebinding), and would otherwise read events or post them; what a proxy passes on
// may come from anywhere. Instead says what to do about it.
func OwnMachine(host string, header http.Header, instead string) error {
	const what = "this server is open to its own machine only, and the request "
	if !IsLoopback(hostOf(host)) {
		return apierror.New(codes.PermissionDenied, "HOST_NOT_LOCAL", what+"names another host; use localhost or 127.0.0.1, or "+instead)
	}
	for name := range header {
		if name = strings.ToLower(name); name == "forwarded" || name == "via" || strings.HasPrefix(name, "x-forwarded-") {
			return apierror.New(codes.PermissionDenied, "PROXIED", what+"came through a proxy; "+instead)
		}
	}
	return nil
}

// IsLoopback reports whether a host, without a port, is this machine's own.
func IsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func hostOf(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
}

// OtherOrigin returns the origin of the page that a browser sends a request for, if
// it is not this server's own: "null" where the browser keeps it to itself. It is
// empty for requests that no page sent.
func OtherOrigin(r *http.Request) string {
	origin := r.Header.Get("Origin")
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none": // of a page's own server, or the user's doing
		return ""
	case "": // an old browser, a server without TLS that is not loopback, or no browser
		if origin == "" {
			return ""
		}
		if u, err := url.Parse(origin); err == nil && u.Host != "" && u.Host == r.Host {
			return ""
		}
	}
	if origin == "" {
		return "null"
	}
	return origin
}

// OtherPage refuses what a page of another origin has its browser send. That the page
// cannot read the answer is not enough: it could post. Instead says what to do about
// it.
func OtherPage(instead string) error {
	return apierror.New(codes.PermissionDenied, "ORIGIN_NOT_ALLOWED", "a page of another origin sent this; "+instead)
}
