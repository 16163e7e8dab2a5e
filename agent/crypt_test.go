package agent_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ferrule/ferrule/agent"
)

// TestSHA256Crypt compares with what glibc's crypt(3) makes of the same.
func TestSHA256Crypt(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ password, salt, want string }{
		{"Hello world!", "saltstring", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"},
		{"", "abc", "$5$abc$bBHLwRRW2Li0XKaX13kz/g2fkDil4Jx46aNvd.48MS8"},
		{"hunter2", "./0123456789ABCD", "$5$./0123456789ABCD$zOGLMq1RNPxVdr6hcOdB9woi7sFxwadCDqBI8CUzf57"},
		{"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "zz", "$5$zz$F75eLkmhBSmFGVJ2gfv50pN2yQyJXwUnVQYiHfH9gLB"},
		{"pässword", "saltsaltsaltsalt", "$5$saltsaltsaltsalt$FaYEK9OV/8rPqg/UriPLqJ2MbeSwfnGSi5HnD5WrzKA"},
	} {
		require.Equal(t, tt.want, agent.SHA256Crypt(tt.password, tt.salt))
	}
}
