package ident

import (
	"crypto/sha256"
	"encoding/hex"
)

// HashToken returns the form in which a token, code or session id is stored and compared:
// lower-case hexadecimal SHA-256. All of them have 128 random bits or more, so neither a salt nor a
// slow hash would add anything (a guess costs 2^127 tries).
func HashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
