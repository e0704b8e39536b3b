// Asks the first questions while the rest of the page is still on its way. See Api.get.
if (!/[#&]window=/.test(location.hash)) {
  /** @type {any} */ (globalThis).early = new Map(
    ["/api/info", "/api/network"].map((url) => [url, fetch(url, { headers: { accept: "application/json" } })]),
  );
}
