package eventlog_test

import (
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
