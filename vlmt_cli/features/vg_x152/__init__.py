"""The paper's own detector (section 8.4): Faster R-CNN on ResNeXt-152 with FPN, trained on Visual Genome.

The authors' code for it, a fork of maskrcnn-benchmark, is written anew here in plain PyTorch, so that who has
``detectron_model.pth`` gets the same boxes and the same 2048 numbers. A photo goes through the files in this order:

photo       pixels to the network's input
backbone    ResNeXt-152 32x8d and FPN: the maps P2 to P6
rpn         proposals
box_head    a proposal's feature and class scores
selection   which hundred of the proposals are kept
extractor   all of it, as ``vlmt extract`` drives it

``config`` says what the authors' YAML says, ``weights`` reads their file, ``operations`` has boxes, NMS and RoIAlign.
Shape suffixes: B photos, C channels, H and W, R boxes, K classes, F features.
"""
