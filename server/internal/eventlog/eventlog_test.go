package eventlog_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/server/internal/eventlog"
)

func TestNormalizePhone(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]string{
		"15557902885":                    "15557902885",
		"+1 (555) 790-2885":              "15557902885",
		"\u00a0[49]\t30\u2009-\u3000x+":  "4930x",
		"\u202a+49\u201130\u2013x\u202c": "4930x",
		"xxx":                            "xxx",
		"+ -":                            "",
		"":                               "",
	} {
		require.Equal(t, want, eventlog.NormalizePhone(number), number)
	}
}

func TestIDRoundTrip(t *testing.T) {
	t.Parallel()
	for _, id := range []eventlog.ID{{}, {1, 2, 3, 19: 255}} {
		got, err := eventlog.ParseID(id.String())
		require.NoError(t, err)
		require.Equal(t, id, got)
	}
	for _, text := range []string{"", "0", strings.Repeat("0", 31), strings.Repeat("0", 33), strings.Repeat("w", 32), strings.Repeat("V", 32), strings.Repeat("é", 16), strings.Repeat("\n", 32), strings.Repeat("0", 31) + "\n"} {
		_, err := eventlog.ParseID(text)
		require.Error(t, err, text)
	}
}

func TestStartFor(t *testing.T) {
	t.Parallel()
	at := func(seq eventlog.Sequence) eventlog.Position {
		return eventlog.Position{Sequence: seq, Fingerprint: uint32(seq)}
	}
	trims := []eventlog.TypeTrim{
		{Path: "messages", UpTo: at(50)},
		{Path: "messages.text", UpTo: at(70)},
		{Path: "statuses", UpTo: at(60)},
		{Path: "old", UpTo: at(10)}, // everything there is trimmed
	}
	cases := map[string]struct {
		filters []eventlog.Filter
		want    eventlog.Sequence
	}{
		"nothing asked":       {nil, 70},
		"everything":          {[]eventlog.Filter{{}}, 70},
		"any type of one":     {[]eventlog.Filter{{WABAIDs: []string{"1"}}}, 70},
		"untouched type":      {[]eventlog.Filter{{Types: []string{"bans"}}}, 20},
		"trimmed before":      {[]eventlog.Filter{{Types: []string{"old"}}}, 20},
		"path":                {[]eventlog.Filter{{Types: []string{"statuses"}}}, 60},
		"below a path":        {[]eventlog.Filter{{Types: []string{"messages.image"}}}, 50},
		"below two paths":     {[]eventlog.Filter{{Types: []string{"messages.text.long"}}}, 70},
		"above a path":        {[]eventlog.Filter{{Types: []string{"messages"}}}, 70},
		"close to a path":     {[]eventlog.Filter{{Types: []string{"message", "messagesx", "status"}}}, 20},
		"one type of several": {[]eventlog.Filter{{Types: []string{"bans", "statuses"}}}, 60},
		"one of two filters":  {[]eventlog.Filter{{Types: []string{"bans"}}, {Types: []string{"messages.image"}}}, 50},
		"all types of two":    {[]eventlog.Filter{{Types: []string{"bans"}}, {MinSeverity: eventlog.SeverityCritical}}, 70},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bounds := eventlog.Bounds{Start: at(20), Head: at(100), TypeTrims: slices.Clone(trims)}
			m := eventlog.NewMatcher(c.filters)
			require.Equal(t, at(c.want), bounds.StartFor(m))
			slices.Reverse(bounds.TypeTrims)
			require.Equal(t, at(c.want), bounds.StartFor(m), "in any order")
			bounds.TypeTrims = nil
			require.Equal(t, at(20), bounds.StartFor(m))
		})
	}
}
