/**
 * What a page says that was opened as a file: browsers then load none of its modules, and it would wait forever.
 *
 * @license Apache-2.0
 */

if (location.protocol === "file:") {
  document.getElementById("name").textContent = "This page needs a web server";
  document.querySelector("#view p").textContent =
    "Browsers load its scripts only from one. Run “python -m http.server” in this folder, and open http://localhost:8000.";
}
