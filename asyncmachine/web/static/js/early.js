// Asks the first questions while the rest of the page is still on its way. See Api.get.
if (!/[#&]window=/.test(location.hash)) {
  const urls = ["/api/info", "/api/network"];
  // as World.askGraph does for a view of which nothing was chosen
  if (!/[#&](at|m|kinds)=/.test(location.hash))
    urls.push("/api/graph?kinds=connection%2Cpipe+add%2Cpipe+remove&form=brief");
  /** @type {any} */ (globalThis).early = new Map(
    urls.map((url) => [url, fetch(url, { headers: { accept: "application/json" } })]),
  );
}
