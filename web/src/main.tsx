import "@fontsource-variable/bricolage-grotesque/opsz.css";
import "./styles/base.css";
import "./styles/buttons.css";
import "./styles/stage.css";
import "./styles/pair.css";
import "./styles/controls.css";
import "./styles/photos.css";
import "./styles/camera.css";
import "./styles/forms.css";
import { render } from "preact";
import { App } from "./components/App";
import { countGallery } from "./state/gallery";
import { letGoOfPhotos } from "./state/photos";

const root = document.getElementById("page");
if (!root) throw new Error("the page has no element to be shown in");
letGoOfPhotos();
render(<App />, root);
void countGallery();
